"""Where await-event promises are kept (``docs/contracts/effects.md``, contract 5.5).

Keys come here authenticated: ``lash_core.runtime.stored_await_events`` checks signatures before it asks a store.
A promise of a process that is terminal and was not resolved reads as cancelled (decision 32); it goes with prune.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.model.await_event import AwaitEventKey, Resolution, ResolveOutcome
from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """Secrets of await-event keys: ``current`` signs, ``previous`` verifies too."""

    current: bytes
    previous: bytes | None = None


@runtime_checkable
class PromiseStore(Protocol):
    """Promises by scope and key id. The first resolution wins."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    def signing_secrets(self) -> SigningSecrets | None:
        """Read when the stores were opened; None where this client's role may not read them."""
        ...

    async def resolve_promise(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve, also before anybody waits. Atomic; safe to repeat (the second answer is ``AlreadyResolved``).

        A revoked session answers ``UnknownOrRevoked`` and stores nothing. The process of an accepted resolution is
        told: its holder hears a ``signal`` notice, a parked row becomes due. A process without a row keeps its promises
        beside it, for a while (docs/adr/0098): a row that is made later never sees them.
        """
        ...

    async def peek_promise(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``.
        """
        ...

    async def open_promise(self, key: AwaitEventKey) -> Resolution | None:
        """Create a pending promise unless there is one; returns its resolution, or None while pending.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``.
        """
        ...

    async def cancel_promises(self, scope: ExecutionScope) -> int:
        """Resolve the pending promises of one scope as cancelled, but for turn control; returns how many."""
        ...

    async def cancel_session_promises(self, session_id: str) -> int:
        """As ``cancel_promises``, for every scope of a session."""
        ...

    async def revoke_session_promises(self, session_id: str) -> None:
        """Delete a session's promises and refuse its keys for ever. Safe to repeat."""
        ...

    async def forget_promises(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises. Safe to repeat.

        The caller knows that nobody asks for them any more: a forgotten promise could be resolved once more.
        """
        ...

    async def is_revoked(self, session_id: str) -> bool:
        """True once the session's promises were revoked."""
        ...

    def listening(self, key: AwaitEventKey) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when the promise may have changed: a hint, the stored promise is the truth."""
        ...
