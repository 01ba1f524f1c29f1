"""The interface of a model provider: one streamed call; retries are the caller's.

``docs/contracts/sessions.md`` 3.3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from lash_core.errors import LashError
from lash_core.model.model_call import ModelFailure, ModelRequest, ModelStreamEvent
from lash_core.model.session import ModelSpec


class ModelCallError(LashError):
    """An attempt of a model call failed; ``failure`` says how and whether another attempt may help."""

    code = "model_call_failed"

    def __init__(self, failure: ModelFailure) -> None:
        super().__init__(failure.message or failure.kind)
        self.failure = failure


@runtime_checkable
class ModelProvider(Protocol):
    """Calls models. One instance serves many sessions at once."""

    @property
    def provider_id(self) -> str:
        """What policies name it by."""
        ...

    def check_model(self, model: ModelSpec) -> str | None:
        """Why this provider cannot run the model as specified (an effort it does not know, …), or None. No I/O."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """One attempt. Deltas as they come, then exactly one ``ModelResponse``; no retries in here.

        Closing the iterator drops the call at once.

        Raises:
            ModelCallError: while iterating.
        """
        ...

    async def close(self) -> None:
        """Give connections back. May be called twice."""
        ...


@runtime_checkable
class PreparedProvider(Protocol):
    """What a provider may have beside ``ModelProvider``."""

    async def prepare(self) -> None:
        """Do ahead what the first call would wait for, such as loading a library. Safe to repeat."""
        ...
