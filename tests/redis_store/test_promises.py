"""Promises over Redis: first writer wins, rows judge theirs, sessions are revoked for ever, waiters hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lash_core.errors import CorruptRecordError, LimitExceededError, RuntimeFailure, SettingsError
from lash_core.model.await_event import (
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.lease import ReleaseReason, Renewed
from lash_core.model.limits import Limits
from lash_core.redis_store.keys import secret_key
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import load_settings
from lash_core.store.process_batches import LeasedRelease
from lash_core.store.process_notices import ProcessNotice
from lash_core.store.promise_store import SigningSecrets
from lash_worker.cli.config import setting_rows
from tests.redis_store.conftest import OpenStores
from tests.redis_store.rows import (
    DONE,
    TTL_MS,
    claimed,
    claimed_by_name,
    lose_replies,
    partition,
    redis,
    started,
    worker,
)

CANCELLED = Resolution.cancelled()
ONE, TWO = Resolution.ok({"n": 1}), Resolution.err("c", "m")
TURN = ExecutionScope.turn("session", "turn")
OPERATION = ExecutionScope.runtime_operation("op")


def key_of(scope: ExecutionScope, name: str = "k") -> AwaitEventKey:
    """A key of one promise; the store does not look at signatures."""
    return AwaitEventKey.mint(scope, WaitIdentity.custom(name), b"secret")


async def process_key(stores: RedisStores) -> AwaitEventKey:
    """A key of a new row."""
    return key_of(ExecutionScope.process(await started(stores)))


@pytest.mark.parametrize("scope", [None, TURN, OPERATION])
async def test_the_first_resolution_stays(stores: RedisStores, scope: ExecutionScope | None) -> None:
    """Before or after somebody waits; peek creates nothing."""
    early, late = ((await process_key(stores)) if scope is None else key_of(scope), key_of(scope or TURN, "late"))
    promises = stores.promises

    assert None is await promises.peek_promise(early)
    assert Accepted() == await promises.resolve_promise(early, ONE)
    assert AlreadyResolved(ONE) == await promises.resolve_promise(early, TWO)
    assert ONE == await promises.open_promise(early) == await promises.peek_promise(early)
    assert [None, None, None] == [await verb(late) for verb in (promises.open_promise,) * 2 + (promises.peek_promise,)]
    assert Accepted() == await promises.resolve_promise(late, TWO)
    assert TWO == await promises.open_promise(late)


async def test_a_process_judges_its_promises(stores: RedisStores) -> None:
    """An ended one's are cancelled unless they were resolved; prune takes them."""
    key = await process_key(stores)
    resolved, process_id = key_of(key.scope, "resolved"), key.scope.id
    await stores.promises.open_promise(key)
    await stores.promises.resolve_promise(resolved, ONE)
    lease = await claimed_by_name(stores, process_id)
    await stores.process_registry.complete_process_with_lease(lease, DONE)

    assert AlreadyResolved(CANCELLED) == await stores.promises.resolve_promise(key, ONE)
    assert CANCELLED == await stores.promises.peek_promise(key) == await stores.promises.open_promise(key)
    assert ONE == await stores.promises.peek_promise(resolved)
    assert 0 == await stores.promises.cancel_promises(key.scope)
    await stores.process_registry.prune_terminal_processes(2**50)
    assert [None, None] == [await stores.promises.peek_promise(name) for name in (key, resolved)]
    assert [] == [name for name in await redis(stores, "KEYS", "*") if process_id in name]


async def test_an_accepted_resolution_tells_the_holder(stores: RedisStores) -> None:
    """A notice at once, a mark for the next renewal; a second resolution tells nobody."""
    owner = worker()
    key = await process_key(stores)
    item = await claimed(stores, owner)
    notices = stores.process_registry.notices()
    try:
        notices.watch_owner(owner)
        await notices.next(5_000)

        await stores.promises.resolve_promise(key, ONE)
        heard = await notices.next(5_000)
        (first,) = await stores.process_registry.renew_process_leases([item.lease], TTL_MS)
        await stores.promises.resolve_promise(key, TWO)
        (second,) = await stores.process_registry.renew_process_leases([item.lease], TTL_MS)
    finally:
        await notices.close()

    assert (ProcessNotice("signal", key.scope.id, 0),) == heard
    assert isinstance(first, Renewed)
    assert isinstance(second, Renewed)
    assert (True, False) == (first.signalled, second.signalled)


@pytest.mark.parametrize("verb", ["resolve", "cancel"])
async def test_a_parked_row_becomes_due(stores: RedisStores, verb: str) -> None:
    """A row parked until later or for ever is claimable as soon as its promise has an outcome."""
    key = await process_key(stores)
    item = await claimed(stores)
    await stores.promises.open_promise(key)
    parked = ReleaseReason(kind="parked", due_in_ms=600_000)
    await stores.process_registry.release_process_leases([LeasedRelease(item.lease, parked)])
    assert () == await stores.process_registry.claim_ready_processes(worker(), 1, TTL_MS)

    if verb == "resolve":
        await stores.promises.resolve_promise(key, ONE)
    else:
        assert 1 == await stores.promises.cancel_promises(key.scope)

    assert key.scope.id == (await claimed(stores)).record.id


async def test_a_repeated_resolution_after_a_lost_reply(stores: RedisStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repeat finds its own resolution: already resolved, with the same outcome."""
    key = await process_key(stores)
    lose_replies(monkeypatch, stores, "resolve_process_promise")

    assert AlreadyResolved(ONE) == await stores.promises.resolve_promise(key, ONE)


async def test_sweeps_leave_turn_control_and_other_scopes(stores: RedisStores) -> None:
    """One scope of a session, then the whole session."""
    other = ExecutionScope.queue_drain("session", "drain")
    gate = AwaitEventKey.mint(TURN, WaitIdentity.turn_cancel_gate(), b"secret")
    for key in (key_of(TURN), key_of(TURN, "b"), key_of(other), gate):
        await stores.promises.open_promise(key)

    assert 2 == await stores.promises.cancel_promises(TURN)
    assert [CANCELLED, None, None] == [
        await stores.promises.peek_promise(key) for key in (key_of(TURN), key_of(other), gate)
    ]
    assert 1 == await stores.promises.cancel_session_promises("session")
    assert None is await stores.promises.peek_promise(gate)
    assert 0 == await stores.promises.cancel_promises(OPERATION)


async def test_a_revoked_session_refuses_for_ever(stores: RedisStores) -> None:
    """Its promises are gone, later ones are refused, its waiters wake."""
    await stores.promises.open_promise(key_of(TURN))
    assert not await stores.promises.is_revoked("session")
    async with stores.promises.listening(key_of(TURN)) as heard:
        await stores.promises.revoke_session_promises("session")
        async with asyncio.timeout(5):
            await heard.wait()
    await stores.promises.revoke_session_promises("session")

    assert await stores.promises.is_revoked("session")
    assert UnknownOrRevoked() == await stores.promises.resolve_promise(key_of(TURN), ONE)
    for verb in (stores.promises.peek_promise, stores.promises.open_promise):
        with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
            await verb(key_of(TURN))
    assert ["revoked"] == await redis(stores, "HKEYS", partition(stores).session_promises("session"))
    assert 0 == await stores.promises.cancel_session_promises("session")


@pytest.mark.parametrize("scope", [None, TURN, OPERATION])
async def test_waiters_hear_of_a_resolution(stores: RedisStores, scope: ExecutionScope | None) -> None:
    """On the channel of the row, the session, the operation."""
    key = (await process_key(stores)) if scope is None else key_of(scope)
    async with stores.promises.listening(key) as heard:
        heard.clear()
        await stores.promises.resolve_promise(key, ONE)
        async with asyncio.timeout(5):
            await heard.wait()


async def test_promises_are_bounded(open_stores: OpenStores) -> None:
    """Of one process, session and operation; a known one is answered still."""
    async with open_stores(limits=Limits(promises_max=10)) as stores:
        for scope in (ExecutionScope.process(await started(stores)), TURN, OPERATION):
            for number in range(10):
                await stores.promises.open_promise(key_of(scope, str(number)))
            for verb in (
                lambda scope=scope: stores.promises.open_promise(key_of(scope)),
                lambda scope=scope: stores.promises.resolve_promise(key_of(scope), ONE),
            ):
                with pytest.raises(LimitExceededError) as refused:
                    await verb()
                assert "promises" == refused.value.field
            assert Accepted() == await stores.promises.resolve_promise(key_of(scope, "1"), ONE)
        with pytest.raises(LimitExceededError):
            await stores.promises.resolve_promise(key_of(TURN, "2"), Resolution.ok("x" * 300_000))


async def test_promises_of_an_operation_are_forgotten_with_it(stores: RedisStores) -> None:
    """By the last touch of promises or journal."""
    await stores.promises.resolve_promise(key_of(OPERATION), ONE)
    await stores.advance_clock(10_000)

    assert 0 == await stores.effect_journal.forget_effects(60_000, 10)
    assert 1 == await stores.effect_journal.forget_effects(5_000, 10)
    assert None is await stores.promises.peek_promise(key_of(OPERATION))


async def test_one_secret_a_namespace(open_stores: OpenStores) -> None:
    """Made by the first client, read by the others; the previous one verifies after a rotation."""
    async with open_stores() as one, open_stores() as two:
        first = one.promises.signing_secrets()
        assert first is not None
        assert (32, None) == (len(first.current), first.previous)
        assert first == two.promises.signing_secrets()
        key = secret_key(one.context.keyspace.namespace)
        await redis(one, "SET", key, f"{'ab' * 32};{first.current.hex()}")
    async with open_stores() as three:
        assert SigningSecrets(b"\xab" * 32, first.current) == three.promises.signing_secrets()
        await redis(three, "SET", key, "nonsense")
    with pytest.raises(CorruptRecordError) as corrupt:
        await enter(open_stores)
    assert "nonsense" not in str(corrupt.value)


async def enter(open_stores: Callable[..., object], **settings: str) -> None:
    """Open and close."""
    async with open_stores(**settings):  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def test_a_given_key_is_used_instead(open_stores: OpenStores) -> None:
    """``LASH_SIGNING_KEY``, current and previous; neither it nor a refusal shows it."""
    async with open_stores(signing_key="0123456789abcdef;fedcba9876543210") as stores:
        assert SigningSecrets(b"0123456789abcdef", b"fedcba9876543210") == stores.promises.signing_secrets()
        assert "0123456789abcdef" not in repr(stores.context.settings)
        assert None is await redis(stores, "GET", secret_key(stores.context.keyspace.namespace))
    with pytest.raises(SettingsError) as refused:
        await enter(open_stores, signing_key="short")
    assert "short" not in str(refused.value).replace("too short", "")


def test_the_printed_settings_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """``lash config show`` names the variable and where it comes from, not its value."""
    monkeypatch.setenv("LASH_SIGNING_KEY", "0123456789abcdef")

    rows = setting_rows(load_settings(), {})

    assert ("LASH_SIGNING_KEY", "***", "environment") in rows
    assert "0123456789abcdef" not in str(rows)
