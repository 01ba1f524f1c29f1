"""Model providers through pydantic-ai's model classes (``docs/contracts/providers.md`` 7). Extra: ``lash[agents]``.

The library is loaded when the first call is made, in a thread: it takes a second, and what only reads sessions needs
none of it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from lash_core.errors import SettingsError
from lash_core.model.model_call import ModelFailure, ModelRequest, ModelStreamEvent
from lash_core.model.session import ModelSpec
from lash_core.protocols.providers.model_provider import ModelCallError
from lash_core.settings import load_settings

if TYPE_CHECKING:
    from pydantic_ai.models import Model

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts that models may have; which one has which only its provider knows, or ``capability["efforts"]``."""
MODELS_KEPT = 256
"""Models of one provider that are kept ready; the oldest goes first."""

MakeModel = Callable[[ModelSpec], "Model"]
"""Makes a model; called once the library is loaded. It may do no I/O."""


class PydanticAiProvider:
    """``ModelProvider`` over pydantic-ai.

    Args:
        provider_id: what policies name it by.
        make_model: makes the model of a spec.
        settings: of every request, in pydantic-ai's names (``temperature``, …).
        secrets: are blotted out of failures.

    Raises:
        SettingsError: pydantic-ai is not installed.
    """

    def __init__(
        self,
        provider_id: str,
        make_model: MakeModel,
        *,
        settings: Mapping[str, Any] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        _require("pydantic_ai", provider_id)
        self._provider_id = provider_id
        self._make_model = make_model
        self._settings = dict(settings or {})
        self._secrets = tuple(secret for secret in secrets if secret)
        self._models: dict[str, Model] = {}
        self._loading = asyncio.Lock()
        self._kit: Any = None

    @classmethod
    def openai_compatible(
        cls,
        provider_id: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> PydanticAiProvider:
        """Any server with OpenAI's chat completions: llama.cpp, vLLM, Ollama, gateways, a server of your own.

        Args:
            provider_id: what policies name it by.
            base_url: up to and with ``/v1``; None = ``LASH_MODEL_BASE_URL``.
            api_key: None = ``LASH_MODEL_API_KEY``, but only with the base URL beside it: no other server gets that key.
            settings: of every request.

        Raises:
            SettingsError: there is no base URL; pydantic-ai or its OpenAI part is not installed.
        """
        _require("openai", provider_id)
        found = load_settings()
        url, key = base_url or found.model_base_url, api_key
        if not url:
            raise SettingsError(
                f"model provider `{provider_id}` has no base URL: give one, or set LASH_MODEL_BASE_URL",
                field="LASH_MODEL_BASE_URL",
            )
        if key is None and url == found.model_base_url:
            key = found.model_api_key
        make_model = _Later("compatible_models", provider_id, url, key, library="pydantic_ai.models.openai")
        return cls(provider_id, make_model, settings=settings, secrets=(key or "",))

    @classmethod
    def named(
        cls, name: str, *, provider_id: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> PydanticAiProvider:
        """A provider that pydantic-ai knows by name, as ``openai``, ``anthropic``, ``google`` or ``openrouter``.

        It takes its key from the environment variable that the provider's own library reads, and may need that library
        (``pip install 'pydantic-ai-slim[anthropic]'``).
        """
        return cls(provider_id or name, _Later("named_models", name), settings=settings)

    @property
    def provider_id(self) -> str:
        """What policies name it by."""
        return self._provider_id

    def check_model(self, model: ModelSpec) -> str | None:
        """Why the effort is refused: it is in no list; None when it may work."""
        if model.variant is None:
            return None
        listed = model.capability.get("efforts")
        known = listed if isinstance(listed, list | tuple) and listed else EFFORTS
        if model.variant in known:
            return None
        return f"model `{model.id}` has no effort `{model.variant}`; known: {', '.join(map(str, known))}"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStreamEvent]:
        """One attempt. Raises: ModelCallError."""
        kit = await self._loaded()
        model = await self._model(request.model)
        if request.model.variant is not None and not kit.takes_effort(model):
            text = f"model `{request.model.id}` takes no effort; list those it has in its spec's capability.efforts"
            raise ModelCallError(ModelFailure(kind="validation", message=text, code="model_unsupported"))
        settings = kit.settings_of(request, self._settings)
        async with aclosing(kit.attempt(model, request, settings, self._secrets)) as events:
            async for event in events:
                yield event

    async def prepare(self) -> None:
        """Load the library, in a thread: seconds that the first turn of a worker would wait for. Safe to repeat."""
        await self._loaded()

    async def close(self) -> None:
        """Close the connections; the next call makes new ones. May be called twice."""
        models, self._models = self._models, {}
        for model in models.values():
            await model.__aexit__(None, None, None)

    async def _loaded(self) -> Any:
        async with self._loading:
            if self._kit is None:
                self._kit = await asyncio.to_thread(_load, getattr(self._make_model, "library", None))
        return self._kit

    async def _model(self, spec: ModelSpec) -> Model:
        key = f"{spec.id}\n{bool(spec.capability.get('efforts'))}"
        async with self._loading:
            found = self._models.get(key)
            if found is None:
                try:
                    found = self._make_model(spec)
                except Exception as error:
                    raise ModelCallError(self._kit.failure_of(error, self._secrets)) from error
                await found.__aenter__()
                self._models[key] = found
                if len(self._models) > MODELS_KEPT:
                    oldest = self._models.pop(next(iter(self._models)))
                    await oldest.__aexit__(None, None, None)
        return found


class _Later:
    """A maker of models that is itself made when the library is there. ``library`` is loaded beside it."""

    def __init__(self, name: str, *args: Any, library: str | None = None) -> None:
        self._name = name
        self._args = args
        self._made: MakeModel | None = None
        self.library = library

    def __call__(self, spec: ModelSpec) -> Model:
        make = self._made
        if make is None:
            make = self._made = getattr(_load(), self._name)(*self._args)
        return make(spec)


def _require(module: str, provider_id: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise SettingsError(
            f"model provider `{provider_id}` needs `{module}`, which is not installed: pip install 'lash[agents]'",
            field="provider_id",
            value=provider_id,
        )


def _load(library: str | None = None) -> Any:
    if library is not None:
        # What it lacks itself is said when a model is made.
        with suppress(ImportError):
            importlib.import_module(library)
    return importlib.import_module("lash_core.protocols.providers.pydantic_ai_models")
