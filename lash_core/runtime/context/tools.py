"""The tools of a context: what may be called, how, and what tools emitted."""

from __future__ import annotations

from lash_core.model.tool_invocation import ToolTriggerEffectOutcome
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolManifest, ToolScheduling
from lash_core.runtime.context.state import ContextState
from lash_core.runtime.tool_dispatch import ToolCatalog, ToolTriggerOutcomeBuffer, ToolTriggers


class ToolLookups(ContextState):
    """Looks tools up in the catalog that was fixed when the run began."""

    @property
    def tool_catalog(self) -> ToolCatalog:
        """The tools that this run may call."""
        return self._dispatch.tool_catalog

    def callable_tool_manifest(self, name: str) -> ToolManifest | None:
        """The manifest of a tool that may be called, or None."""
        return self._dispatch.tool_catalog.named(name)

    def callable_tool_manifest_by_id(self, tool_id: str) -> ToolManifest | None:
        """As ``callable_tool_manifest``, by id."""
        return self._dispatch.tool_catalog.identified(tool_id)

    def tool_scheduling(self, name: str) -> ToolScheduling:
        """How calls of a tool may run beside others; parallel for a tool that is unknown."""
        return self._dispatch.tool_catalog.scheduling(name)

    def tool_argument_projection_policy(self, name: str) -> ToolArgumentProjectionPolicy:
        """What becomes of projected values in its arguments; materialized for a tool that is unknown."""
        return self._dispatch.tool_catalog.argument_projection(name)

    def tool_triggers(self, outcomes: ToolTriggerOutcomeBuffer) -> ToolTriggers | None:
        """What a tool emits occurrences through, with reports into ``outcomes``; None where there are no triggers."""
        router = self._dispatch.trigger_router
        return None if router is None else ToolTriggers(router, outcomes)

    def drain_tool_trigger_outcomes(self) -> tuple[ToolTriggerEffectOutcome, ...]:
        """What tools emitted since the last drain, in order, for the reply that is about to be made: each once."""
        return self._dispatch.trigger_outcomes.drain()
