"""A crash between two partitions loses no handle, and a step that is carried out twice changes nothing (hazard 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.scope import SessionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.outbox_steps import GrantPlace, OutboxEntry, decode_entry, encode_grant, grants_step
from lash_core.redis_store.registry import RedisProcessRegistry
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call, Scripts
from lash_core.redis_store.stores import RedisStores
from tests.redis_contract.conftest import OpenStores
from tests.redis_contract.rows import registration, unique

JOB = ProcessHandleDescriptor(kind="job", label="nightly")


def scope(frame: str | None = None) -> SessionScope:
    """A session of this test's own."""
    return SessionScope(session_id=unique("session"), agent_frame_id=frame)


async def granted(stores: RedisStores, *scopes: SessionScope) -> str:
    """A row with grants; its id."""
    record = await stores.process_registry.register_process(registration())
    for target in scopes:
        await stores.process_registry.grant_handle(target, record.id, JOB)
    return record.id


async def entries(stores: RedisStores) -> list[OutboxEntry]:
    """All that stands in the outbox."""
    found: list[OutboxEntry] = []
    for keys in stores.context.keyspace.partitions:
        for entry_id, fields in await stores.context.connection.execute(keys.outbox, "XRANGE", keys.outbox, "-", "+"):
            found.append(decode_entry(keys.index, entry_id, as_mapping(fields), key=keys.outbox))
    return found


async def deliver(stores: RedisStores) -> int:
    """What a worker does about leftovers."""
    return await stores.process_registry.deliver_outbox(min_age_ms=0, limit=100)


async def holders(registry: RedisProcessRegistry, process_id: str, *scopes: SessionScope) -> list[bool]:
    """Which of the scopes hold the handle."""
    return [await registry.has_handle(target, process_id) for target in scopes]


class Cut:
    """Scripts whose run fails as if the connection went, from the first call of one script on."""

    def __init__(self, patch: pytest.MonkeyPatch, script: str) -> None:
        self._patch = patch
        self._script = script

    def __enter__(self) -> None:
        plain, cut_at = Scripts.run, self._script

        async def run(scripts: Scripts, calls: Sequence[Call], **options: Any) -> list[Any]:
            if any(call.script == cut_at for call in calls):
                raise StoreUnreachableError("cut")
            return await plain(scripts, calls, **options)

        self._patch.setattr(Scripts, "run", run)

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


async def test_a_grant_cut_short_is_finished_by_the_outbox(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded at the process, not yet at the session: absent, outcome unknown; then delivered."""
    process_id, target = await granted(stores), scope()

    with Cut(monkeypatch, "put_session_grants"), pytest.raises(OutcomeUnknownError):
        await stores.process_registry.grant_handle(target, process_id, JOB)

    assert not await stores.process_registry.has_handle(target, process_id)
    assert () == await stores.process_registry.handles_for_process(process_id)
    assert 1 == await deliver(stores)
    assert await stores.process_registry.has_handle(target, process_id)
    assert [] == await entries(stores)


async def test_register_with_a_grant_cut_short_loses_neither(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row and grant are one unit: whoever starts the process finds both after the outbox was delivered."""
    target, wanted = scope(), registration()

    with Cut(monkeypatch, "put_session_grants"), pytest.raises(OutcomeUnknownError):
        await stores.process_registry.register_process(wanted, grant_to=target, descriptor=JOB)
    await deliver(stores)

    ((grant, record),) = await stores.process_registry.list_handles(target)
    assert (JOB, wanted.id) == (grant.descriptor, record.id)


async def test_a_revoke_cut_short_is_already_absent(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's side decides; the session's side is cleaned up later."""
    target = scope()
    process_id = await granted(stores, target)

    with Cut(monkeypatch, "put_session_grants"), pytest.raises(OutcomeUnknownError):
        await stores.process_registry.revoke_handle(target, process_id)

    assert not await stores.process_registry.has_handle(target, process_id)
    assert () == await stores.process_registry.list_handles(target)
    await deliver(stores)
    assert not await stores.process_registry.has_handle(target, process_id)


@pytest.mark.parametrize("cut", ["move_grant", "put_session_grants"])
async def test_a_transfer_cut_short_is_in_neither_and_then_at_the_target(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """Never in both, never lost, wherever between the two sessions it is cut."""
    source, target = scope(), scope("f1")
    ids = [await granted(stores, source) for _ in range(3)]

    with Cut(monkeypatch, cut), pytest.raises(OutcomeUnknownError):
        await stores.process_registry.transfer_handles(source, target, ids)

    for process_id in ids:
        assert [False, False] == await holders(stores.process_registry, process_id, source, target)
        assert () == await stores.process_registry.handles_for_process(process_id)
    assert 1 == await deliver(stores)
    for process_id in ids:
        assert [False, True] == await holders(stores.process_registry, process_id, source, target)
        (grant,) = await stores.process_registry.handles_for_process(process_id)
        assert (target.scope_id, JOB) == (grant.scope_id, grant.descriptor)
    assert [] == await entries(stores)


async def test_a_transfer_whose_caller_died_after_the_first_half_is_finished_by_another(
    stores: RedisStores, open_stores: OpenStores
) -> None:
    """Only the first script ran; another client's outbox does the rest."""
    source, target = scope(), scope()
    process_id = await granted(stores, source)
    await stores.process_registry._take_handles(source, target, [process_id])

    async with open_stores() as other:
        assert [False, False] == await holders(other.process_registry, process_id, source, target)
        assert 1 == await deliver(other)
        assert [False, True] == await holders(other.process_registry, process_id, source, target)


async def test_a_repeated_first_half_answers_as_the_first_did(stores: RedisStores) -> None:
    """A lost reply is asked again with the same request id: no error, one entry."""
    source, target = scope(), scope()
    process_id = await granted(stores, source)
    keys = stores.context.keyspace.of_session(source.session_id)
    call = Call(
        "transfer_handles",
        (keys.session_grants(source.session_id), keys.outbox),
        ("00112233aabbccdd", '{"op":"x"}', source.scope_id, process_id),
    )

    first = (await stores.context.scripts.run([call]))[0]
    again = (await stores.context.scripts.run([call]))[0]

    assert ["moved", "again"] == [first[0], again[0]]
    assert first[1] == again[1]
    assert 1 == len(await entries(stores))
    assert target != source


async def test_a_second_delivery_of_a_transfer_does_not_undo_what_came_after(stores: RedisStores) -> None:
    """Two workers carried the step out; between them the target gave the handle back and the source got it again."""
    source, target = scope(), scope()
    process_id = await granted(stores, source)
    entry = await stores.process_registry._take_handles(source, target, [process_id])
    assert entry is not None
    await stores.process_registry.carry_out([entry])
    await stores.process_registry.revoke_handle(target, process_id)
    await stores.process_registry.grant_handle(source, process_id, JOB)

    await stores.process_registry.carry_out([entry])

    assert [True, False] == await holders(stores.process_registry, process_id, source, target)


async def test_a_second_delivery_of_a_grant_does_not_bring_a_revoked_handle_back(stores: RedisStores) -> None:
    """The step says what to compare, not what to write."""
    target = scope()
    process_id = await granted(stores, target)
    place = GrantPlace.of(target)
    step = decode_entry(
        stores.context.keyspace.of_process(process_id).index,
        "1-1",
        {"o": grants_step(process_id, [place])},
        key="out",
    )
    await stores.process_registry.revoke_handle(target, process_id)

    await stores.process_registry.carry_out([step])

    assert not await stores.process_registry.has_handle(target, process_id)


async def test_who_writes_the_session_last_has_compared(stores: RedisStores) -> None:
    """A slow grant whose handle was revoked meanwhile takes its write at the session back."""
    target = scope()
    process_id = await granted(stores)
    keys, place = stores.context.keyspace.of_process(process_id), GrantPlace.of(target)
    grant = encode_grant(target, JOB)
    script_keys = (keys.control(process_id), keys.grant_scopes(process_id), keys.outbox)
    call = Call("grant_handle", script_keys, (place.scope_id, grant, grants_step(process_id, [place]), 10))
    _, entry_id = (await stores.context.scripts.run([call]))[0]
    await stores.process_registry.revoke_handle(target, process_id)

    await stores.process_registry._grants.follow(process_id, [place], entry_id=entry_id, known={place.scope_id: grant})

    side = stores.context.keyspace.of_session(target.session_id).session_grants(target.session_id)
    (value,) = await stores.context.connection.read([Command(side, ("HGET", side, f"{place.scope_id}\n{process_id}"))])
    assert None is value
    assert [] == await entries(stores)


async def test_concurrent_grants_and_revokes_end_with_both_sides_equal(stores: RedisStores) -> None:
    """Whatever the order was: what one read says the other says too, and nothing is left to do."""
    targets = [scope() for _ in range(3)]
    process_id = await granted(stores)
    registry = stores.process_registry
    for _ in range(10):
        await asyncio.gather(
            *(registry.grant_handle(target, process_id, JOB) for target in targets for _ in range(3)),
            *(registry.revoke_handle(target, process_id) for target in targets for _ in range(3)),
            registry.transfer_handles(targets[0], targets[1], [process_id]),
            return_exceptions=True,
        )
        await deliver(stores)

        held = [target.scope_id for target in targets if await registry.has_handle(target, process_id)]
        listed = [target.scope_id for target in targets if await registry.list_handles(target)]
        named = [grant.scope_id for grant in await registry.handles_for_process(process_id)]
        assert sorted(held) == sorted(listed) == sorted(named)
        assert [] == await entries(stores)


async def test_a_session_deletion_cut_short_is_finished_by_the_outbox(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's side is gone at once; grants at the processes and wake targets follow."""
    session, other = scope(), scope()
    process_id = await granted(stores, session, other)
    woken = await stores.process_registry.register_process(registration(wake_target=session))

    with Cut(monkeypatch, "forget_session"), pytest.raises(OutcomeUnknownError):
        await stores.process_registry.delete_session_process_state(session.session_id)

    assert [False, True] == await holders(stores.process_registry, process_id, session, other)
    await deliver(stores)
    assert [other.scope_id] == [
        grant.scope_id for grant in await stores.process_registry.handles_for_process(process_id)
    ]
    after = await stores.process_registry.get_process(woken.id)
    assert after is not None
    assert None is after.wake_target
    assert [] == await entries(stores)


async def test_a_deleted_session_wakes_nobody_without_a_grant_too(stores: RedisStores) -> None:
    """Rows that name the session as wake target are found without a handle on them."""
    session = scope()
    woken = await stores.process_registry.register_process(registration(wake_target=session))

    report = await stores.process_registry.delete_session_process_state(session.session_id)

    after = await stores.process_registry.get_process(woken.id)
    assert after is not None
    assert None is after.wake_target
    assert (0, (), ()) == (report.revoked_handle_count, report.orphaned_process_ids, report.preserved_process_ids)


async def test_a_second_delivery_of_a_deletion_does_not_take_a_new_grant(stores: RedisStores) -> None:
    """The session was made anew between two deliveries of its deletion."""
    session = scope()
    process_id = await granted(stores, session)
    keys = stores.context.keyspace.of_session(session.session_id)
    names = (keys.session_grants(session.session_id), keys.session_wakes(session.session_id), keys.outbox)
    step = f'{{"i":"aa00aa00aa00aa00","op":"forget","s":"{session.session_id}"}}'
    await stores.context.scripts.run([Call("delete_session_process_state", names, ("aa00aa00aa00aa00", step))])
    (entry,) = await entries(stores)
    await stores.process_registry.carry_out([entry])
    await stores.process_registry.grant_handle(session, process_id, JOB)

    await stores.process_registry.carry_out([entry])

    assert await stores.process_registry.has_handle(session, process_id)


async def test_a_step_of_a_newer_release_stays_and_holds_up_nobody(stores: RedisStores) -> None:
    """An older worker leaves it for a newer one, and an unreadable entry does not stop the others."""
    keys = stores.context.keyspace.partitions[0]
    await stores.context.connection.execute(keys.outbox, "XADD", keys.outbox, "*", "o", '{"op":"unheard"}')
    await stores.context.connection.execute(keys.outbox, "XADD", keys.outbox, "*", "o", "no json")
    source, target = scope(), scope()
    process_id = await granted(stores, source)
    await stores.process_registry._take_handles(source, target, [process_id])

    assert 1 == await deliver(stores)
    assert await stores.process_registry.has_handle(target, process_id)
    assert 2 == await stores.context.connection.execute(keys.outbox, "XLEN", keys.outbox)


async def test_young_steps_are_left_to_their_caller(stores: RedisStores) -> None:
    """The caller who wrote a step is about to carry it out; a worker waits ``min_age_ms``."""
    source, target = scope(), scope()
    process_id = await granted(stores, source)
    await stores.process_registry._take_handles(source, target, [process_id])

    assert 0 == await stores.process_registry.deliver_outbox(min_age_ms=60_000, limit=100)
    await stores.advance_clock(60_001)
    assert 1 == await stores.process_registry.deliver_outbox(min_age_ms=60_000, limit=100)
