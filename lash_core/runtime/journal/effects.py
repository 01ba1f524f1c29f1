"""The journaling effect host, common to all stores: made of an ``EffectJournal`` and a ``PromiseStore``."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.await_event_door import HasAwaitEvents
from lash_core.runtime.journal.run import RunEffects
from lash_core.runtime.journal.scope import LeasedEffects
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from lash_core.runtime.turns.turn_effects import TurnEffects
from lash_core.store.effect_host import AwaitEventResolver, EffectRun, TurnRun
from lash_core.store.effect_journal import EffectJournal
from lash_core.store.promise_store import PromiseStore


class JournaledEffectHost(HasAwaitEvents):
    """``JournalingEffectHost``. Recorded outcomes are answered, everything else runs and is recorded.

    Args:
        journal: where effects are recorded.
        promises: where await-event promises are kept.
        replay_only: refuse what is not recorded with ``<backend>_effect_replay_missing``; for scopes without a run.
    """

    def __init__(self, journal: EffectJournal, promises: PromiseStore, *, replay_only: bool = False) -> None:
        self._journal = journal
        self._promises = promises
        self._await_events = StoredAwaitEvents(promises)
        self._of_run = self._await_events.of_run()
        self._replay_only = replay_only

    @property
    def journal(self) -> EffectJournal:
        """Where effects are recorded."""
        return self._journal

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of this host."""
        return self._await_events

    def durability_tier(self) -> DurabilityTier:
        """``durable`` when journal and waits both survive this OS process, else ``inline`` (contract 1.13)."""
        tiers = (self._journal.durability_tier(), self._promises.durability_tier())
        return DurabilityTier.DURABLE if set(tiers) == {DurabilityTier.DURABLE} else DurabilityTier.INLINE

    def scoped(self, scope: ExecutionScope) -> LeasedEffects:
        """A controller whose effects are claimed one by one. Raises: RuntimeFailure, ``missing_execution_scope_id``."""
        return LeasedEffects(scope.validated(), self._journal, self._await_events, replay_only=self._replay_only)

    def scoped_static(self, scope: ExecutionScope) -> LeasedEffects | None:
        """As ``scoped``: nothing of it ends with a turn."""
        return self.scoped(scope)

    def scoped_run(self, run: EffectRun) -> RunEffects:
        """A controller for ``process(<pid>)`` that journals under the lease of ``run``."""
        return RunEffects(run, self._journal, self._of_run)

    def scoped_turn(self, run: TurnRun) -> TurnEffects:
        """A controller for ``turn(<session>, <turn>)`` that journals under the session's lease."""
        return TurnEffects(run, self._of_run, backend=self._journal.backend, tier=self._journal.durability_tier())

    def replaying(self) -> JournaledEffectHost:
        """The same host in replay-only mode."""
        return JournaledEffectHost(self._journal, self._promises, replay_only=True)
