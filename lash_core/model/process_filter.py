"""List filters (contract 1.12). Pure."""

from __future__ import annotations

from typing import Any, Literal, get_args

from lash_core.errors import InvalidFilterError
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.record import ProcessRecord

FilterStatus = Literal["running", "completed", "failed", "cancelled", "abandoned", "any"]


class ProcessFilter(Model):
    """Facets that AND together. Trap: ``status`` is ``running`` unless told otherwise; prune wants ``any``."""

    status: FilterStatus = "running"
    definition: JsonValue = None
    waiting: bool | None = None
    originator_scope_id: str | None = None
    identity_kind: str | None = None
    identity_label: str | None = None
    caused_by_occurrence_id: str | None = None
    caused_by_subscription_id: str | None = None
    created_at_start_ms: int | None = None
    created_at_end_ms: int | None = None
    queue: str | None = None

    def matches(self, record: ProcessRecord) -> bool:
        """True when every given facet fits the row. Start is inclusive, end exclusive."""
        caused_by = record.provenance.caused_by
        return (
            (self.status in ("any", record.status.state))
            and (self.definition is None or _same_json(self.definition, record.identity.definition))
            and (self.waiting is None or (record.wait is not None) == self.waiting)
            and _same(self.originator_scope_id, record.provenance.originator.scope_id)
            and _same(self.identity_kind, record.identity.kind)
            and _same(self.identity_label, record.identity.label)
            and _same(self.caused_by_occurrence_id, caused_by.occurrence_id if caused_by else None)
            and _same(self.caused_by_subscription_id, caused_by.subscription_id if caused_by else None)
            and (self.created_at_start_ms is None or record.created_at_ms >= self.created_at_start_ms)
            and (self.created_at_end_ms is None or record.created_at_ms < self.created_at_end_ms)
            and _same(self.queue, record.queue)
        )

    @property
    def lists_history(self) -> bool:
        """List mode: ``running`` lists live grants only, any other status all history."""
        return self.status != "running"

    @classmethod
    def from_args(cls, args: Any) -> ProcessFilter:
        """Decode untyped arguments.

        Raises:
            InvalidFilterError: not an object, an unknown key, a bad status, a value of the wrong type.
        """
        if not isinstance(args, dict):
            raise InvalidFilterError("processes.list filter must be an object", field="filter")
        for name, value in args.items():
            _check_facet(name, value)
        return cls.model_validate(args)


_TEXT_FACETS = {
    "originator_scope_id",
    "identity_kind",
    "identity_label",
    "caused_by_occurrence_id",
    "caused_by_subscription_id",
    "queue",
}
_TIME_FACETS = {"created_at_start_ms", "created_at_end_ms"}


def _check_facet(name: Any, value: Any) -> None:
    if name not in ProcessFilter.model_fields:
        raise InvalidFilterError(f"processes.list unknown filter `{name}`", field=str(name))
    if name == "status" and value not in get_args(FilterStatus):
        raise InvalidFilterError(
            f"processes.list status {value!r} must be one of {', '.join(get_args(FilterStatus))}",
            field="status",
            value=value,
        )
    if value is None:
        return
    if name == "waiting" and not isinstance(value, bool):
        raise InvalidFilterError("processes.list filter `waiting` must be a boolean", field="waiting", value=value)
    if name in _TEXT_FACETS and not isinstance(value, str):
        raise InvalidFilterError(f"processes.list filter `{name}` must be a string", field=name, value=value)
    if name in _TIME_FACETS and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidFilterError(f"processes.list filter `{name}` must be an integer", field=name, value=value)


def _same_json(wanted: Any, found: Any) -> bool:
    # As JSON: to Python 1, 1.0 and True are equal.
    return canonical_json(wanted) == canonical_json(found)


def _same(wanted: str | None, found: str | None) -> bool:
    return wanted is None or wanted == found
