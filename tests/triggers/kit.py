"""A client whose app declares the kinds of these tests, and stores that die at a chosen call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lash_core.client import LashClient
from lash_core.client_enqueue import KindResolver
from lash_core.client_trigger_starts import TriggerStarts
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest
from lash_core.runtime.trigger_router import TriggerRouter
from tests.triggers.conftest import AnyStores

MANIFESTS = {
    "report": KindManifest(
        kind="report",
        disposition=RecoveryDisposition.RERUNNABLE,
        queue="reports",
        params_schema={"type": "object", "properties": {"month": {"type": "string"}}, "required": ["month"]},
    ),
    "plain": KindManifest(kind="plain", disposition=RecoveryDisposition.RERUNNABLE),
}


class Declared:
    """An app's manifests."""

    def __init__(self, manifests: Mapping[str, KindManifest] = MANIFESTS) -> None:
        self.declared = dict(manifests)

    def manifests(self) -> Mapping[str, KindManifest]:
        """Kind → manifest."""
        return self.declared


def client_of(stores: AnyStores, app: Declared | None = None) -> LashClient:
    """A client with the kinds of these tests."""
    return LashClient(stores, app=app or Declared())


def router_of(stores: Any, app: Declared | None = None) -> TriggerRouter:
    """A router such as another program has."""
    starts = TriggerStarts(KindResolver(stores.directory, app or Declared()))
    return TriggerRouter(stores.triggers, stores.process_registry, starts)


class DiedError(BaseException):
    """The program is gone: nothing catches this."""


class Mortal:
    """A part of the stores that dies before or after the n-th call of one verb; else it is the part itself."""

    def __init__(self, part: Any, verb: str, *, after: bool) -> None:
        self._part = part
        self._verb = verb
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name != self._verb:
            return found

        async def dying(*args: Any, **options: Any) -> Any:
            if self._after:
                await found(*args, **options)
            raise DiedError(name)

        return dying
