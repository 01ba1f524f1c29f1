"""The model providers of a host, by the id that policies name (``docs/contracts/providers.md`` 1)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.protocols.providers.model_provider import ModelProvider, PreparedProvider

MODEL_PROVIDER_UNKNOWN = "model_provider_unknown"

_log = logging.getLogger(__name__)


class ModelProviders:
    """Providers by id. Shared by all sessions of a host; nothing in it waits.

    Args:
        providers: each under its own ``provider_id``.

    Raises:
        InvalidArgumentError: an id is blank, has white space around it, or is taken.
    """

    def __init__(self, providers: Iterable[ModelProvider] = ()) -> None:
        self._by_id: dict[str, ModelProvider] = {}
        for provider in providers:
            self.add(provider)

    def add(self, provider: ModelProvider) -> None:
        """Offer one more.

        Raises:
            InvalidArgumentError: its id is blank, has white space around it, or is taken by another provider.
        """
        provider_id = provider.provider_id
        if not provider_id or provider_id != provider_id.strip():
            raise InvalidArgumentError(
                f"provider_id `{provider_id}` must not be blank or have white space around it",
                field="provider_id",
                value=provider_id,
            )
        if self._by_id.setdefault(provider_id, provider) is not provider:
            raise InvalidArgumentError(
                f"there are two model providers with the id `{provider_id}`", field="provider_id", value=provider_id
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, sorted."""
        return tuple(sorted(self._by_id))

    def __contains__(self, provider_id: object) -> bool:
        return provider_id in self._by_id

    def __iter__(self) -> Iterator[ModelProvider]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, provider_id: str) -> ModelProvider | None:
        """The provider, or None."""
        return self._by_id.get(provider_id)

    def get(self, provider_id: str) -> ModelProvider:
        """The provider that a policy names.

        Raises:
            RuntimeFailure: ``model_provider_unknown``; its text names the ids that are known here.
        """
        provider = self._by_id.get(provider_id)
        if provider is None:
            known = ", ".join(f"`{name}`" for name in self.ids) or "none"
            raise RuntimeFailure(MODEL_PROVIDER_UNKNOWN, f"no model provider `{provider_id}` here; configured: {known}")
        return provider

    async def prepare(self) -> None:
        """Let those that can do ahead what their first call would wait for; a failure shows there. Safe to repeat."""
        for provider in self:
            if isinstance(provider, PreparedProvider):
                try:
                    await provider.prepare()
                except Exception:  # noqa: BLE001 - a provider's own code; the call itself will say it
                    _log.debug("provider `%s` could not be prepared", provider.provider_id, exc_info=True)

    async def close(self) -> None:
        """Close all; one that fails is logged and does not keep the others from it. May be called twice."""
        for provider in self._by_id.values():
            try:
                await provider.close()
            except Exception:  # noqa: BLE001 - a provider is the host's code
                _log.exception("model provider %s could not be closed", provider.provider_id)
