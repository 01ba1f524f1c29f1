"""A trigger as an app declares it: checked when it is declared, registered by workers (docs/adr/0132)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lash_core.client_trigger_options import TriggerOptions, make_definition
from lash_core.errors import InvalidArgumentError, SettingsError
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, check_subscription_key, subscription_id
from lash_core.runtime.schedule import check_schedule


@dataclass(frozen=True, slots=True)
class DeclaredTrigger:
    """A trigger of an app. ``key``: ``<app>/<name>``, owned by the platform."""

    key: str
    definition: TriggerDefinition


def declared_trigger(app: str, name: str, kind: str, params: Any, options: TriggerOptions) -> DeclaredTrigger:
    """The declaration. Raises: SettingsError naming the field."""
    owner, key = TriggerOwnerScope.platform(), f"{app}/{name}"
    try:
        check_subscription_key(key)
        definition = make_definition(owner, key, kind, params, options).validated(subscription_id(owner, key))
        if definition.schedule is not None:
            check_schedule(definition.schedule)
    except InvalidArgumentError as error:
        raise SettingsError(
            f"trigger `{name}` of app `{app}`: {error.message}", field=error.field, value=error.value, limit=error.limit
        ) from error
    return DeclaredTrigger(key, definition)
