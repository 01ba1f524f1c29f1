"""Facets of a listing and the filter that they make."""

from __future__ import annotations

from typing import TypedDict

from lash_core.model.process_filter import FilterStatus, ProcessFilter


class ListOptions(TypedDict, total=False):
    """Facets of a listing; absent or None means any. Times are ms since the epoch, start inclusive, end exclusive."""

    status: FilterStatus | None
    kind: str | None
    queue: str | None
    label: str | None
    waiting: bool | None
    since_ms: int | None
    until_ms: int | None
    scope: str | None


def list_filter(facets: ListOptions) -> ProcessFilter:
    """The filter of a listing. Raises: InvalidFilterError: a value of the wrong type or an unknown status."""
    unknown = facets.keys() - ListOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown facet {', '.join(sorted(unknown))}")
    scope = facets.get("scope")
    args = {
        "status": facets.get("status") or "any",
        "identity_kind": facets.get("kind"),
        "identity_label": facets.get("label"),
        "queue": facets.get("queue"),
        "waiting": facets.get("waiting"),
        "created_at_start_ms": facets.get("since_ms"),
        "created_at_end_ms": facets.get("until_ms"),
        "originator_scope_id": f"host:{scope}" if scope else None,
    }
    return ProcessFilter.from_args({name: value for name, value in args.items() if value is not None})
