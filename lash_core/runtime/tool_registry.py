"""The tools of a session: which exist, which are members, and what a stored state says about them.

The live sources decide which tools exist; a stored state only says by id which of them are members.
"""

from __future__ import annotations

from collections.abc import Iterable

from lash_core.errors import NotDoneError
from lash_core.model.tool_state import FIRST_GENERATION, ToolEntry, ToolManifest, ToolRestoreReport, ToolState
from lash_core.runtime.tools import Tool


class ToolRegistryError(NotDoneError):
    """A tool state or a tool that the registry refuses."""

    code = "tool_registry"


class ToolGenerationError(ToolRegistryError):
    """An edit made against another generation."""

    code = "tool_generation_mismatch"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            f"tool state has generation {expected}, the registry {actual}",
            field="generation",
            value=expected,
            limit=actual,
        )
        self.expected = expected
        self.actual = actual


class ToolUnavailableError(ToolRegistryError):
    """No member tool of that name."""

    code = "tool_unavailable"


class ToolRegistry:
    """Tools by id and name. A fresh registry has generation 1; every change raises it.

    Args:
        tools: what the sources offer at the start; they are all members.

    Raises:
        ToolRegistryError: two tools have one id or one name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._live: dict[str, Tool] = {}
        self._entries: dict[str, ToolEntry] = {}
        self._generation = FIRST_GENERATION
        for tool in tools:
            self._add(tool)

    @property
    def generation(self) -> int:
        """The number of the present state."""
        return self._generation

    def register(self, tool: Tool) -> None:
        """Offer a tool; an orphan of its id is bound again and keeps its membership.

        Raises:
            ToolRegistryError: its id or its name is taken.
        """
        self._add(tool)
        self._generation += 1

    def unregister(self, tool_id: str) -> None:
        """Take a tool away; it stays in the state as an orphan. A missing one is success."""
        if self._live.pop(tool_id, None) is not None:
            self._entries[tool_id] = self._entries[tool_id].model_copy(update={"orphaned": True})
            self._generation += 1

    def refresh_catalog(self) -> None:
        """Bring the catalog up to date with its sources."""

    def catalog(self) -> tuple[ToolManifest, ...]:
        """The member tools, by name."""
        members = (entry.manifest for entry in self._entries.values() if entry.is_member)
        return tuple(sorted(members, key=lambda manifest: manifest.name))

    def resolve(self, name: str) -> Tool:
        """The member tool of that name.

        Raises:
            ToolUnavailableError: unknown, not a member, or an orphan; the text says which.
        """
        entry = next((entry for entry in self._entries.values() if entry.manifest.name == name), None)
        if entry is None:
            raise ToolUnavailableError(f"unknown tool `{name}`", field="tool_name", value=name)
        if not entry.is_member:
            why = "no registered source offers it" if entry.orphaned else "it is not a member of this session"
            raise ToolUnavailableError(f"tool `{name}` is unavailable: {why}", field="tool_name", value=name)
        return self._live[entry.manifest.tool_id]

    def export_state(self) -> ToolState:
        """The present state, to be stored."""
        return ToolState(generation=self._generation, tools=dict(self._entries))

    def restore_state(self, snapshot: ToolState) -> ToolRestoreReport:
        """Take over a stored state when a session is opened again. Never fails for missing sources.

        The snapshot's generation is adopted whatever the registry's is, and raised by one only if the live tools are
        others than the snapshot's. Ids that no source offers become orphans, unless their name is offered live under
        another id.
        """
        live_names = {tool.manifest.name for tool in self._live.values()}
        entries: dict[str, ToolEntry] = {}
        for tool_id, tool in self._live.items():
            stored = snapshot.tools.get(tool_id)
            entries[tool_id] = ToolEntry(manifest=tool.manifest, member=True if stored is None else stored.member)
        orphaned: list[str] = []
        for tool_id, stored in snapshot.tools.items():
            if tool_id not in self._live and stored.manifest.name not in live_names:
                entries[tool_id] = stored.model_copy(update={"orphaned": True})
                orphaned.append(tool_id)
        self._entries = entries
        self._generation = snapshot.generation + (0 if entries == snapshot.tools else 1)
        return ToolRestoreReport(orphaned=tuple(sorted(orphaned)))

    def apply_state(self, edited: ToolState) -> None:
        """Take over a host's edit of the present state; the generation rises by one.

        Raises:
            ToolGenerationError: the edit was made against another generation.
            ToolRegistryError: it names a tool that no source offers and that it does not flag as an orphan.
        """
        if edited.generation != self._generation:
            raise ToolGenerationError(edited.generation, self._generation)
        entries: dict[str, ToolEntry] = {}
        for tool_id, entry in edited.tools.items():
            live = self._live.get(tool_id)
            if live is None and not entry.orphaned:
                raise ToolRegistryError(f"no source offers the tool `{tool_id}`", field="tools", value=tool_id)
            entries[tool_id] = (
                entry if live is None else ToolEntry(manifest=live.manifest, member=entry.member, orphaned=False)
            )
        for tool_id, tool in self._live.items():
            # Which tools exist is the sources' say: what an edit leaves out stays, as no member.
            entries.setdefault(tool_id, ToolEntry(manifest=tool.manifest, member=False))
        self._entries = entries
        self._generation += 1

    def _add(self, tool: Tool) -> None:
        manifest = tool.manifest
        if manifest.tool_id in self._live:
            raise ToolRegistryError(f"duplicate tool id `{manifest.tool_id}`", field="tool_id", value=manifest.tool_id)
        if any(other.manifest.name == manifest.name for other in self._live.values()):
            raise ToolRegistryError(f"duplicate tool name `{manifest.name}`", field="name", value=manifest.name)
        known = self._entries.get(manifest.tool_id)
        for other_id, entry in list(self._entries.items()):
            if entry.orphaned and entry.manifest.name == manifest.name and other_id != manifest.tool_id:
                del self._entries[other_id]
        self._live[manifest.tool_id] = tool
        self._entries[manifest.tool_id] = ToolEntry(manifest=manifest, member=True if known is None else known.member)
