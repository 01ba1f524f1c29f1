"""Await-events by token: the answer of whoever was handed one."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from lash_core.client import LashClient
from lash_core.errors import InvalidArgumentError, InvalidJsonError, LimitExceededError
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
from tests.client.app_stub import REPORT, StubApp
from tests.client.conftest import AnyStores


class Decision(BaseModel):
    granted: bool


@pytest.fixture
async def key(stores: AnyStores) -> AwaitEventKey:
    """Of a promise of process ``p``, which is there."""
    await LashClient(stores, app=StubApp(REPORT)).enqueue("report.build", {"month": "x"}, process_id="p")
    return StoredAwaitEvents(stores.promises).mint(ExecutionScope.process("p"), WaitIdentity.custom("approval"))


async def test_the_first_resolution_wins(stores: AnyStores, lash: LashClient, key: AwaitEventKey) -> None:
    """Before anybody waits; the second one hears what stands."""
    token = key.to_token()

    assert Accepted() == await lash.resolve(token, Decision(granted=True))
    assert AlreadyResolved(Resolution.ok({"granted": True})) == await lash.resolve(key, None)
    assert Resolution.ok({"granted": True}) == await StoredAwaitEvents(stores.promises).peek(key)


async def test_an_error_is_a_resolution_too(stores: AnyStores, lash: LashClient, key: AwaitEventKey) -> None:
    """With its code."""
    assert Accepted() == await lash.resolve(key, Resolution.err("denied", "not you"))
    assert Resolution.err("denied", "not you") == await StoredAwaitEvents(stores.promises).peek(key)


async def test_forged_and_foreign_tokens_are_unknown(lash: LashClient, key: AwaitEventKey) -> None:
    """An answer, not an error, and the same one; text that is no token at all is bad input."""
    forged = AwaitEventKey.mint(key.scope, key.wait, b"another secret of some length").to_token()
    orphan = StoredAwaitEvents(lash.stores.promises).mint(ExecutionScope.process("nobody"), key.wait).to_token()

    assert UnknownOrRevoked() == await lash.resolve(forged, 1)
    assert UnknownOrRevoked() == await lash.resolve(orphan, 1)
    with pytest.raises(InvalidArgumentError, match="not an await-event token"):
        await lash.resolve("r-10")
    with pytest.raises(InvalidArgumentError, match="damaged"):
        await lash.resolve(key.to_token()[:-4])


async def test_values_are_checked_before_anything_is_sent(lash: LashClient, key: AwaitEventKey) -> None:
    """As params are."""
    with pytest.raises(InvalidJsonError):
        await lash.resolve(key, float("nan"))
    with pytest.raises(LimitExceededError, match="value has"):
        await lash.resolve(key, "x" * 300_000)
    assert Accepted() == await lash.resolve(key, None)
