"""Promises over a store: keys, tokens, secrets, waiters (contract 5.5, docs/contracts/effects.md 7)."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.memory_store.promise_store import MemoryPromiseStore
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_event import (
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from lash_core.store.promise_store import SigningSecrets
from lash_core.testing.waiting import eventually

TURN = ExecutionScope.turn("s", "t")
GO = WaitIdentity.custom("go")


class Promises(MemoryPromiseStore):
    """Promises in memory, with secrets that a test changes and waiters that it counts."""

    def __init__(self, secrets: SigningSecrets | None = None) -> None:
        super().__init__(InMemoryStores().process_registry)
        self.secrets: SigningSecrets | None = secrets or SigningSecrets(b"1" * 32)
        self.opened = 0

    def signing_secrets(self) -> SigningSecrets | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.secrets

    async def open_promise(self, key: AwaitEventKey) -> Resolution | None:
        self.opened += 1
        return await super().open_promise(key)


def events(promises: Promises) -> StoredAwaitEvents:
    return StoredAwaitEvents(promises)


async def test_a_resolution_wakes_its_waiter_and_stands() -> None:
    """The second one is told so."""
    promises = Promises()
    resolver = events(promises)
    key = resolver.mint(TURN, GO)
    waiting = asyncio.create_task(resolver.await_event(key))
    await eventually(lambda: promises.opened == 1)

    assert Accepted() == await resolver.resolve(key, Resolution.ok({"n": 1}))
    async with asyncio.timeout(5):
        assert Resolution.ok({"n": 1}) == await waiting
    assert AlreadyResolved(Resolution.ok({"n": 1})) == await resolver.resolve(key, Resolution.ok(2))


async def test_the_previous_secret_verifies_and_the_present_one_signs() -> None:
    """A rotation does not cut off whoever holds a token; a second one does."""
    old, new, newest = b"1" * 32, b"2" * 32, b"3" * 32
    promises = Promises(SigningSecrets(old))
    resolver = events(promises)
    key = resolver.mint(TURN, GO)
    promises.secrets = SigningSecrets(new, old)
    assert resolver.mint(TURN, GO).signature != key.signature
    assert Accepted() == await resolver.resolve(key, Resolution.ok(1))
    promises.secrets = SigningSecrets(newest, new)

    assert UnknownOrRevoked() == await resolver.resolve(key, Resolution.ok(1))
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await resolver.peek(key)


async def test_without_secrets_everything_says_so() -> None:
    """As the table of the contract has it."""
    promises = Promises()
    key = events(promises).mint(TURN, GO)
    promises.secrets = None
    resolver = events(promises)
    assert UnknownOrRevoked() == await resolver.resolve(key, Resolution.ok(1))
    codes: list[str] = []
    for call in (
        resolver.await_event_key(TURN, GO),
        resolver.peek(key),
        resolver.await_event(key),
        resolver.revoke_session("s"),
        resolver.cancel_session("s"),
        resolver.cancel_scope(TURN),
    ):
        with pytest.raises(RuntimeFailure) as caught:
            await call
        codes.append(caught.value.code)

    assert ["await_event_unsupported"] * 4 + ["await_event_cancel_unsupported"] * 2 == codes


async def test_a_revoked_session_gets_no_keys() -> None:
    """Its waiters end with the error, its keys resolve nothing."""
    promises = Promises()
    resolver = events(promises)
    key = await resolver.await_event_key(TURN, GO)
    waiting = asyncio.create_task(resolver.await_event(key))
    await eventually(lambda: promises.opened == 1)
    await resolver.revoke_session("s")

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
            await waiting
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await resolver.await_event_key(TURN, GO)
    assert UnknownOrRevoked() == await resolver.resolve(key, Resolution.ok(1))


async def test_a_waiter_whose_time_is_over_ends_the_promise() -> None:
    """Unless a value was faster, which it then answers."""
    resolver = events(Promises())
    late, fast = resolver.mint(TURN, GO), resolver.mint(TURN, WaitIdentity.custom("fast"))
    assert Resolution.timeout() == await resolver.await_event(late, timeout_ms=1)
    assert AlreadyResolved(Resolution.timeout()) == await resolver.resolve(late, Resolution.ok(1))

    await resolver.resolve(fast, Resolution.ok("value"))
    assert Resolution.ok("value") == await resolver.await_event(fast, timeout_ms=0)


async def test_turn_control_is_not_ended_by_its_waiters() -> None:
    """Their time being over is an error of theirs only."""
    promises = Promises()
    resolver = events(promises)
    gate = resolver.mint(TURN, WaitIdentity.turn_cancel_gate())
    with pytest.raises(RuntimeFailure) as caught:
        await resolver.await_event(gate, timeout_ms=1)
    assert "turn_control_wait_timeout" == caught.value.code
    waiting = asyncio.create_task(resolver.await_event(gate))
    await eventually(lambda: promises.opened == 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert await resolver.peek(gate) is None


@pytest.mark.parametrize(("of_run", "resolution"), [(False, Resolution.cancelled()), (True, None)])
async def test_a_cancelled_waiter_ends_the_promise_unless_it_is_a_run(
    *, of_run: bool, resolution: Resolution | None
) -> None:
    """A run is also cancelled when it moves to another worker, which waits on."""
    promises = Promises()
    resolver = events(promises).of_run() if of_run else events(promises)
    key = resolver.mint(TURN, GO)
    waiting = asyncio.create_task(resolver.await_event(key))
    await eventually(lambda: promises.opened == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert resolution == await resolver.peek(key)


@pytest.mark.parametrize("part", ["scope", "wait", "key_id", "signature"])
async def test_a_forged_key_creates_nothing(part: str) -> None:
    """Each part is authenticated, also with characters that no signature has."""
    promises = Promises()
    resolver = events(promises)
    key = resolver.mint(TURN, GO)
    changed: dict[str, Any] = {
        "scope": ExecutionScope.turn("s", "other"),
        "wait": WaitIdentity.custom("other"),
        "key_id": "é" * 64,
        "signature": "0" * 64,
    }
    forged = replace(key, **{part: changed[part]})

    assert UnknownOrRevoked() == await resolver.resolve(forged, Resolution.ok(1))
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await resolver.await_event(forged)
    assert (0, None) == (promises.opened, await resolver.peek(key))


# -- tokens ----------------------------------------------------------------------------------------------------------

SCOPES = [
    TURN,
    ExecutionScope.process("orders/2026/17 ü"),
    ExecutionScope.queue_drain("s", "d"),
    ExecutionScope.session_delete("s"),
    ExecutionScope.runtime_operation("o"),
]
WAITS = [
    GO,
    WaitIdentity.tool_completion("c"),
    WaitIdentity.process_signal("p", "go", 3),
    WaitIdentity.turn_cancel_gate(),
    WaitIdentity.turn_terminal(),
]


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.kind)
@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.kind)
def test_a_key_comes_back_from_its_token_and_its_json(scope: ExecutionScope, wait: WaitIdentity) -> None:
    """Both carry everything; the token is safe in a URL."""
    key = AwaitEventKey.mint(scope, wait, b"x" * 32)

    assert key == AwaitEventKey.from_token(key.to_token()) == AwaitEventKey.from_json_value(key.to_json_value())
    assert set(key.to_token()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def token() -> str:
    return AwaitEventKey.mint(TURN, GO, b"x" * 32).to_token()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lw1",
        "lw1..",
        "lw2." + token()[4:],
        token()[:-4],
        token()[4:],
        token() + "é",
        token().replace(".", ".!", 1),
        "lw1." + "a" * 10_000 + ".b",
        "lw1.W10.AAAA",
        "lw1." + base64.urlsafe_b64encode(b"[" * 2_900).decode().rstrip("=") + ".AAAA",
    ],
)
def test_bad_tokens_are_refused_with_a_reason(text: str) -> None:
    """A token that was cut in an e-mail is the usual case; the text never shows the token."""
    with pytest.raises(InvalidArgumentError, match="token") as caught:
        AwaitEventKey.from_token(text)

    assert ("token", None) == (caught.value.field, caught.value.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"scope": {"kind": "process", "id": "p"}, "wait": ["custom", "go"], "key_id": "k"},
        {"scope": {"kind": "process", "id": " "}, "wait": ["custom", "go"], "key_id": "k", "signature": "s"},
        {"scope": {"kind": "turn", "id": "t"}, "wait": ["custom", "go"], "key_id": "k", "signature": "s"},
        {"scope": {"kind": "process", "id": "p", "x": "y"}, "wait": ["custom", "go"], "key_id": "k", "signature": "s"},
        {
            "scope": {"kind": "process", "id": "p"},
            "wait": ["process_signal", "p", "n", 0],
            "key_id": "k",
            "signature": "",
        },
        {"scope": {"kind": "process", "id": "p"}, "wait": ["custom", 1], "key_id": "k", "signature": "s"},
    ],
)
def test_json_that_is_no_key_is_refused(value: Any) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(InvalidArgumentError, match="not an await-event key"):
        AwaitEventKey.from_json_value(value)
