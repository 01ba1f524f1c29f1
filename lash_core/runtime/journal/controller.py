"""What the controllers of journaled effects have in common: scope, promises, commands under way, journal."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.await_event_door import HasAwaitEvents
from lash_core.runtime.sent_commands import SentCommands
from lash_core.store.effect_host import AwaitEventResolver
from lash_core.store.effect_journal import EffectJournal


class ScopedController(HasAwaitEvents):
    """The facts of ``ScopedEffects`` but for the tier; how effects are executed is the subclass's."""

    __slots__ = ("_await_events", "_commands", "_scope")

    def __init__(self, scope: ExecutionScope, await_events: AwaitEventResolver) -> None:
        self._scope = scope
        self._await_events = await_events
        self._commands = SentCommands()

    @property
    def scope(self) -> ExecutionScope:
        """The scope; of a run ``process(<pid>)``, of a turn ``turn(<session>, <turn>)``."""
        return self._scope

    @property
    def scope_id(self) -> str:
        """The scope's id; of a run the process id, of a turn the turn's."""
        return self._scope.id

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host; a wait of a run that is cancelled leaves its promise open."""
        return self._await_events


class JournaledController(ScopedController):
    """A controller over an ``EffectJournal``."""

    __slots__ = ("_journal",)

    def __init__(self, scope: ExecutionScope, journal: EffectJournal, await_events: AwaitEventResolver) -> None:
        super().__init__(scope, await_events)
        self._journal = journal

    def durability_tier(self) -> DurabilityTier:
        """The journal's tier."""
        return self._journal.durability_tier()
