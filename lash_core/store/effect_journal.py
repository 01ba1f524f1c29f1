"""The journal of effects: recorded outcomes by replay key (``docs/contracts/effects.md``, decision 18, contract 5.3).

Two ways to write it. A run of a process writes under its lease: no lease of the effect's own, no in-progress record,
one fenced write an outcome. A scope without a lease (a turn, a runtime operation) claims each effect first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect_record import EffectAnswer, EffectClaim, EffectRecord, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease


@runtime_checkable
class EffectJournal(Protocol):
    """Recorded effects of processes and of scopes without a lease."""

    @property
    def backend(self) -> str:
        """First word of the replay errors' codes: ``memory`` or ``redis``."""
        ...

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    # -- of a process, under its run's lease -------------------------------------------------------------

    async def load_effects(self, process_id: str) -> Mapping[str, EffectRecord]:
        """Every entry of a process by replay key; empty for an unknown process."""
        ...

    async def record_effects(
        self, lease: ProcessLease, writes: Sequence[EffectWrite], *, first_started: ProcessStarted | None = None
    ) -> tuple[EffectAnswer, ...]:
        """Write entries of one process in one fenced unit; one answer per write, in order. Safe to repeat.

        Order of checks: unknown; an entry with the key is answered as it stands; the lease; the limits. A child start
        is recorded with its outbox entry in the same unit and carried out before the call returns: the answer's record
        is ``completed``, or ``failed`` with code ``process_registration_conflict`` when the id has other content. More
        writes than ``Limits.batch_max``, or more than 4 MB of outcomes, are several units, in order.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError: nothing was written.
            LimitExceededError: the journal is full (``field`` is ``journal_entries`` or ``journal_bytes``), or one
                outcome is over the payload limit. InvalidRegistrationError: a child start's registration.
            OutcomeUnknownError: recorded; a child start is carried out by the outbox. Repeat the call to wait for it.
        """
        ...

    # -- of a scope without a lease ----------------------------------------------------------------------

    async def claim_effect(self, scope: ExecutionScope, write: EffectWrite, *, owner: str, ttl_ms: int) -> EffectClaim:
        """Begin an effect, or learn that it has an outcome, is under way, or is another effect. Safe to repeat.

        An expired claim is taken over with its due time. ``write`` is a ``waiting`` one; its ``delay_ms`` sets the due
        time of the first claim.
        """
        ...

    async def renew_effect(self, scope: ExecutionScope, key: str, token: str, *, ttl_ms: int) -> None:
        """Extend a claim.

        Raises:
            RuntimeFailure: ``<backend>_effect_replay_lease_lost``.
        """
        ...

    async def finalize_effect(self, scope: ExecutionScope, write: EffectWrite, token: str) -> EffectRecord:
        """Record an outcome under a live claim. Safe to repeat: the same outcome again answers what is stored.

        Raises:
            RuntimeFailure: ``<backend>_effect_replay_lease_lost``; nothing was recorded.
        """
        ...

    async def find_effect(self, scope: ExecutionScope, key: str) -> EffectRecord | None:
        """The entry of a scope without a lease, or None."""
        ...

    async def forget_effects(self, older_than_ms: int, limit: int) -> int:
        """Delete journals of lease-less scopes that nobody touched for ``older_than_ms``; returns how many scopes.

        A durable store forgets the promises of runtime operations with them.
        """
        ...
