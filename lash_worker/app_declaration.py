"""One declared process kind: its function and the manifest made from it (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from lash_core.errors import InvalidRegistrationError, SettingsError
from lash_core.model.manifest import KindManifest
from lash_core.model.payload_schema import check_schema
from lash_worker.app_signature import ProcessSignature, payload_schema
from lash_worker.isolation.declared import Isolation, RqSignature


class Declaration:
    """One declared kind; what needs the function's annotations is made when it is first asked for."""

    def __init__(
        self,
        facts: KindManifest,
        signature: ProcessSignature | RqSignature,
        signals: Mapping[str, Any],
        isolation: Isolation | None = None,
    ) -> None:
        self.signature = signature
        self.isolation = isolation
        self._facts = facts
        self._signals = signals

    @cached_property
    def signal_types(self) -> Mapping[str, TypeAdapter[Any]]:
        """Adapters of the signals that were declared with a type. Raises: SettingsError: a type that is no data."""
        _ = self.manifest
        return {name: TypeAdapter(kind) for name, kind in self._signals.items() if not _is_schema(kind)}

    @cached_property
    def manifest(self) -> KindManifest:
        """The manifest. Raises: SettingsError for an annotation that cannot be used."""
        subject = f"process `{self._facts.kind}`"
        schemas = {name: payload_schema(kind, f"{subject} signal `{name}`") for name, kind in self._signals.items()}
        manifest = self._facts.model_copy(
            update={
                "signals": schemas,
                "params_schema": self.signature.params_schema,
                "result_schema": self.signature.result.schema,
            }
        )
        try:
            for event_type in manifest.all_event_types():
                check_schema(event_type.payload_schema, field=event_type.name)
        except InvalidRegistrationError as error:
            raise SettingsError(f"{subject}: {error.message}", field=error.field, limit=error.limit) from error
        return manifest


def _is_schema(annotation: Any) -> bool:
    return annotation is None or isinstance(annotation, dict | bool)
