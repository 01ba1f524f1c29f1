"""The base of every model: frozen, closed, and built by field name or by alias."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

JsonValue = Any
"""Any canonical JSON value (``lash_core.model.canonical_json``). Checked where it enters, not by type."""


class Model(BaseModel):
    """A frozen record. Unknown fields are refused, so that a misspelled name is an error and not a loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def to_json_value(self) -> dict[str, Any]:
        """The record as a JSON object: aliases as names, absent optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
