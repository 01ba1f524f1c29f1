"""Tool manifests and the tool state that a session keeps."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.tool_retry import NO_TOOL_RETRIES, ToolRetryPolicy

FIRST_GENERATION = 1


class ToolScheduling(StrEnum):
    """How calls of one batch may run: beside others, or one after the other."""

    PARALLEL = "parallel"
    SERIAL = "serial"


class ToolArgumentProjectionPolicy(Model):
    """What becomes of projected values in a tool's arguments: all materialized, or those of one field kept as refs."""

    kind: Literal["materialize_projected_values", "preserve_projected_refs_in_field"] = "materialize_projected_values"
    field: str | None = None

    @classmethod
    def materialize_projected_values(cls) -> ToolArgumentProjectionPolicy:
        """Every projected value is replaced by what it stands for; the policy of tools that say nothing."""
        return MATERIALIZE_PROJECTED_VALUES

    @classmethod
    def preserve_projected_refs_in_field(cls, field: str) -> ToolArgumentProjectionPolicy:
        """Refs in this argument stay refs."""
        return cls(kind="preserve_projected_refs_in_field", field=field)


MATERIALIZE_PROJECTED_VALUES = ToolArgumentProjectionPolicy()


class ToolManifest(Model):
    """A tool as models and callers see it. ``input_schema`` is a JSON schema of its arguments.

    Attributes:
        scheduling: how its calls may run beside others of one round.
        argument_projection: what becomes of projected values in its arguments.
        retry: attempts of a call whose failure is declared safe to try again.
        timeout_ms: longest attempt; None = until the turn ends.
    """

    tool_id: str = Field(kw_only=False)
    name: str = Field(kw_only=False)
    description: str = ""
    input_schema: JsonValue = True
    scheduling: ToolScheduling = ToolScheduling.PARALLEL
    argument_projection: ToolArgumentProjectionPolicy = MATERIALIZE_PROJECTED_VALUES
    retry: ToolRetryPolicy = NO_TOOL_RETRIES
    timeout_ms: int | None = Field(default=None, ge=1)

    def to_json_value(self) -> dict[str, Any]:
        """The manifest as stored; what says nothing new is left out, so that the release before can read it."""
        data = super().to_json_value()
        if self.scheduling is ToolScheduling.PARALLEL:
            del data["scheduling"]
        if self.argument_projection == MATERIALIZE_PROJECTED_VALUES:
            del data["argument_projection"]
        if self.retry == NO_TOOL_RETRIES:
            del data["retry"]
        return data


class ToolEntry(Model):
    """A tool in a tool state. An orphan is a tool that no source offers any more."""

    manifest: ToolManifest
    orphaned: bool = False
    member: bool = True

    @property
    def is_member(self) -> bool:
        """True when the tool is in the catalog."""
        return self.member and not self.orphaned

    def to_json_value(self) -> dict[str, Any]:
        """The entry as stored; ``orphaned`` is left out when false."""
        data = super().to_json_value()
        data["manifest"] = self.manifest.to_json_value()
        if not self.orphaned:
            data.pop("orphaned", None)
        return data


class ToolState(Model):
    """Which tools a session has, by id. It never names who offers them."""

    generation: int = Field(default=FIRST_GENERATION, ge=1)
    tools: dict[str, ToolEntry] = Field(default_factory=dict)

    def to_json_value(self) -> dict[str, Any]:
        """The state as stored."""
        return {
            "generation": self.generation,
            "tools": {tool_id: entry.to_json_value() for tool_id, entry in self.tools.items()},
        }


class ToolRestoreReport(Model):
    """What a restore found: ids that no source resolves."""

    orphaned: tuple[str, ...] = ()
