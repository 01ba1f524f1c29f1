"""A model call of a session beside its turns: a title, a summary, a check (docs/contracts/providers.md 4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from lash_core.errors import InvalidArgumentError
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import Message
from lash_core.model.model_call import ModelRequest, ModelResponse, ModelStreamEvent
from lash_core.model.session import ModelSpec
from lash_core.model.usage import TokenLedgerEntry
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.turns.model_caller import direct_completion
from lash_core.runtime.turns.turn_scope import TurnScope

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

DIRECT_SOURCE = "direct"


async def complete_directly(
    runtime: LashRuntime,
    messages: Sequence[Message],
    *,
    key: str,
    instructions: str = "",
    source: str = DIRECT_SOURCE,
    cancellation: CancellationToken | None = None,
) -> ModelResponse:
    """See ``LashRuntime.direct_completion``."""
    if not key.strip():
        raise InvalidArgumentError("a direct completion needs a key that is not blank", field="key", value=key)
    core, policy = runtime.host.core, runtime.policy
    asked = _Asked(core.providers.get(policy.provider_id))
    request = ModelRequest(model=policy.require_model(), instructions=instructions, messages=tuple(messages))
    operation = ExecutionScope.runtime_operation(f"{runtime.session_id}:direct:{key}")
    scope = TurnScope(
        session_id=runtime.session_id,
        turn_id=f"direct:{runtime.session_id}",
        turn_index=runtime.state.turn_index,
        effects=core.control.effect_host.scoped(operation),
        cancellation=cancellation or CancellationToken(),
        clock=core.clock,
    )
    response, usage = await direct_completion(scope, asked, request, key, core.model_retry)
    if asked.count:
        # What was answered from the record was entered by whoever asked.
        runtime.shared_token_ledger.append(TokenLedgerEntry(source, request.model.id, usage))
    return response


class _Asked:
    """A provider that knows whether it was asked."""

    def __init__(self, provider: ModelProvider) -> None:
        self._provider = provider
        self.count = 0

    @property
    def provider_id(self) -> str:
        """The provider's."""
        return self._provider.provider_id

    def check_model(self, model: ModelSpec) -> str | None:
        """As the provider says."""
        return self._provider.check_model(model)

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """Ask it."""
        self.count += 1
        return self._provider.stream(request)

    async def close(self) -> None:
        """The host closes it."""
