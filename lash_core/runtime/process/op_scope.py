"""On whose behalf a process operation is done, and through which effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.effect import WRONG_OUTCOME, RuntimeEffectCommand, RuntimeEffectEnvelope, RuntimeInvocation
from lash_core.model.process_command import ProcessCommand
from lash_core.model.scope import SessionScope
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.causal import process_effect_invocation
from lash_core.store.effect_host import RuntimeEffectLocalExecutor, ScopedEffects


@dataclass(frozen=True, slots=True)
class ProcessOpScope:
    """The effects of the asking run or turn, the invocation that asks, its agent frame, and what ends its waits."""

    effects: ScopedEffects
    parent_invocation: RuntimeInvocation | None = None
    agent_frame_id: str | None = None
    cancellation: CancellationToken | None = None

    def with_parent_invocation(self, parent: RuntimeInvocation | None) -> ProcessOpScope:
        """A copy on behalf of another invocation; operations of two parents are two effects."""
        return replace(self, parent_invocation=parent)

    def with_agent_frame_id(self, agent_frame_id: str | None) -> ProcessOpScope:
        """A copy in another frame; blank means the session itself."""
        return replace(self, agent_frame_id=agent_frame_id)

    def session_scope(self, session_id: str) -> SessionScope:
        """The scope that asks: the session, or its frame."""
        return SessionScope.for_agent_frame(session_id, self.agent_frame_id)


async def execute_process_command(
    session_id: str, command: ProcessCommand, scope: ProcessOpScope, executor: RuntimeEffectLocalExecutor
) -> dict[str, Any]:
    """Let a command cross the effect boundary and answer the value of its outcome.

    Raises:
        RuntimeFailure: ``runtime_effect_wrong_outcome``, and what was recorded. Whatever the executor raises.
    """
    invocation = process_effect_invocation(session_id, scope.parent_invocation, command.effect_id)
    envelope = RuntimeEffectEnvelope.create(invocation, RuntimeEffectCommand.process(command))
    value = (await scope.effects.execute_effect(envelope, executor)).into_process()
    if not isinstance(value, dict):
        raise RuntimeFailure(WRONG_OUTCOME, f"effect `{command.effect_id}` answered no JSON object")
    return value
