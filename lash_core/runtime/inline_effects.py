"""The inline effect host: effects run here and now, nothing is journaled (contract 5.4)."""

from __future__ import annotations

from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.await_event_door import HasAwaitEvents
from lash_core.runtime.inline_await_events import InlineAwaitEvents
from lash_core.runtime.sent_commands import SentCommands, is_process_command
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectController, RuntimeEffectLocalExecutor


class InlineEffectController:
    """``RuntimeEffectController`` that always runs the local executor."""

    def __init__(self) -> None:
        self._commands = SentCommands()

    def durability_tier(self) -> DurabilityTier:
        """``inline``."""
        return DurabilityTier.INLINE

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Run the effect. A process command, unless it only waits, goes on when its caller is cancelled.

        Raises:
            Whatever the executor raises.
        """
        if is_process_command(envelope):
            return await self._commands.finish(local_executor(envelope))
        return await local_executor(envelope)


InlineRuntimeEffectController = InlineEffectController
"""Under the name of the contract."""


class ScopedEffectController(HasAwaitEvents):
    """A controller bound to one scope; ``EffectHost.scoped`` makes it."""

    __slots__ = ("_await_events", "_controller", "scope")

    def __init__(
        self, scope: ExecutionScope, controller: RuntimeEffectController, await_events: AwaitEventResolver
    ) -> None:
        self.scope = scope
        self._controller = controller
        self._await_events = await_events

    @property
    def scope_id(self) -> str:
        """The scope's id."""
        return self.scope.id

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host."""
        return self._await_events

    def durability_tier(self) -> DurabilityTier:
        """The controller's tier."""
        return self._controller.durability_tier()

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Hand the effect to the controller."""
        return await self._controller.execute_effect(envelope, self._at_own_promises(local_executor))


class InlineEffectHost(HasAwaitEvents):
    """``EffectHost`` of one program.

    Args:
        controller: the controller of every scope; one that runs everything locally by default.
        await_events: the promises; in memory by default.
    """

    def __init__(
        self, controller: RuntimeEffectController | None = None, *, await_events: AwaitEventResolver | None = None
    ) -> None:
        self._controller: RuntimeEffectController = controller or InlineEffectController()
        self._await_events: AwaitEventResolver = await_events or InlineAwaitEvents()

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of this host."""
        return self._await_events

    def durability_tier(self) -> DurabilityTier:
        """The controller's tier."""
        return self._controller.durability_tier()

    def scoped(self, scope: ExecutionScope) -> ScopedEffectController:
        """A controller for ``scope``. Raises: RuntimeFailure, ``missing_execution_scope_id``."""
        return ScopedEffectController(scope.validated(), self._controller, self._await_events)

    def scoped_static(self, scope: ExecutionScope) -> ScopedEffectController | None:
        """As ``scoped``: an inline controller outlives every turn."""
        return self.scoped(scope)
