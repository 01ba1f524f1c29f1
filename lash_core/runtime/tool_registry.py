"""The tools of a session: which exist, which are members, and what a stored state says about them.

``docs/contracts/sessions.md`` 2.13.

The live sources decide which tools exist; a stored state only says by id which of them are members.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lash_core.model.agent_frame import ToolAccess
from lash_core.model.tool_state import FIRST_GENERATION, ToolEntry, ToolManifest, ToolRestoreReport, ToolState
from lash_core.runtime.tool_registry_errors import (
    ToolGenerationError,
    ToolRegistryError,
    ToolUnavailableError,
    ToolValidationError,
    UnknownToolSourceError,
)
from lash_core.runtime.tool_sources import StaticToolSource, ToolExecutionGrant, ToolSource
from lash_core.runtime.tools import Tool

REGISTERED_SOURCE = "registered"
"""The source of tools that are registered one by one."""


class ToolRegistry:
    """Tools by id and name. A fresh registry has generation 1; every change of its state raises it.

    Args:
        tools: registered at the start.
        sources: in order; what they list is a member at the start.

    Raises:
        ToolRegistryError: two tools have one id or one name.
    """

    def __init__(self, tools: Iterable[Tool] = (), *, sources: Iterable[ToolSource] = ()) -> None:
        self._registered: list[Tool] = list(tools)
        self._sources: dict[str, ToolSource] = {source.source_id: source for source in sources}
        self._live: dict[str, Tool] = {}
        self._entries: dict[str, ToolEntry] = {}
        self._access = ToolAccess()
        self._generation = FIRST_GENERATION
        self._take_listing(self._listing())
        self._generation = FIRST_GENERATION

    @property
    def generation(self) -> int:
        """The number of the present state."""
        return self._generation

    # -- sources ---------------------------------------------------------------------------------------

    def register(self, tool: Tool) -> None:
        """Offer a tool; an orphan of its id is bound again and keeps its membership.

        Raises:
            ToolRegistryError: its id or its name is taken.
        """
        before = list(self._registered)
        self._registered.append(tool)
        try:
            self._take_listing(self._listing(), changed=True)
        except ToolRegistryError:
            self._registered = before
            raise

    def unregister(self, tool_id: str) -> None:
        """Take a registered tool away; it stays in the state as an orphan. A missing one is success."""
        if any(tool.manifest.tool_id == tool_id for tool in self._registered):
            self._registered = [tool for tool in self._registered if tool.manifest.tool_id != tool_id]
            self._take_listing(self._listing())

    def upsert_source(self, source: ToolSource) -> None:
        """Add a source, or put one in the place of the one with its id. Tools keep their membership by id.

        Orphans that it offers are bound again; what it does not offer any more becomes an orphan.

        Raises:
            ToolRegistryError: it lists an id or a name that another source lists; nothing is changed.
        """
        before = dict(self._sources)
        self._sources[source.source_id] = source
        try:
            self._take_listing(self._listing())
        except ToolRegistryError:
            self._sources = before
            raise

    def refresh_sources(self) -> None:
        """Read the listings of all sources again. The generation rises only when something changed.

        Raises:
            ToolRegistryError: two tools have one id or one name now; nothing is changed.
        """
        self._take_listing(self._listing())

    refresh_catalog = refresh_sources

    def remove_source(self, source_id: str) -> None:
        """Drop a source and all its tools from the state.

        Raises:
            UnknownToolSourceError.
        """
        source = self._source(source_id)
        offered = _offered_of(source, self._entries, self._live)
        del self._sources[source_id]
        live, entries = dict(self._live), dict(self._entries)
        for tool_id in offered & self._entries.keys():
            found = self._offers_of(tool_id)
            live.pop(tool_id, None)
            known = entries.pop(tool_id)
            if found:
                live[tool_id], entries[tool_id] = found[0], self._entry_of(found[0], known)
        self._live, self._entries = live, entries
        self._generation += 1

    def set_access(self, access: ToolAccess) -> None:
        """Which tools the session or its frame has. Hidden names are recorded, never members, never executable.

        The generation rises when a membership changes by it.
        """
        self._access = access
        self._adopt({tool_id: self._within_access(entry) for tool_id, entry in self._entries.items()})

    # -- reads -----------------------------------------------------------------------------------------

    def catalog(self) -> tuple[ToolManifest, ...]:
        """The member tools, by name."""
        members = (entry.manifest for entry in self._entries.values() if self._is_member(entry))
        return tuple(sorted(members, key=lambda manifest: manifest.name))

    def resolve_manifest(self, tool_id: str) -> ToolManifest | None:
        """The manifest of a tool that some source offers; an orphan is bound again where that is possible now."""
        if not self._bound(tool_id):
            return None
        manifest = self._entries[tool_id].manifest
        return None if self._is_hidden(manifest.name) else manifest

    def resolve(self, name: str) -> Tool:
        """The member tool of that name.

        Raises:
            ToolUnavailableError: unknown, hidden, not a member, or an orphan; the text says which.
        """
        entry = next((entry for entry in self._entries.values() if entry.manifest.name == name), None)
        if entry is None or self._is_hidden(name):
            raise ToolUnavailableError(f"unknown tool `{name}`", field="tool_name", value=name)
        tool_id = entry.manifest.tool_id
        why = "it is not a member of this session" if self._bound(tool_id) else "no registered source offers it"
        if not self._is_member(self._entries[tool_id]):
            raise ToolUnavailableError(f"tool `{name}` is unavailable: {why}", field="tool_name", value=name)
        return self._live[tool_id]

    def resolve_by_id(self, tool_id: str) -> Tool:
        """As ``resolve``, by id."""
        entry = self._entries.get(tool_id)
        if entry is None:
            raise ToolUnavailableError(f"unknown tool `{tool_id}`", field="tool_id", value=tool_id)
        return self.resolve(entry.manifest.name)

    def resolve_granted(self, grant: ToolExecutionGrant) -> Tool:
        """A tool of a source for one call: it need not be in state or catalog, and does not get there.

        Raises:
            UnknownToolSourceError. ToolUnavailableError: the source does not know it, or its name is hidden.
        """
        tool = self._source(grant.source_id).resolve(grant.tool_id)
        if tool is None or self._is_hidden(tool.manifest.name):
            raise ToolUnavailableError(
                f"tool `{grant.tool_id}` is unavailable: source `{grant.source_id}` does not offer it",
                field="tool_id",
                value=grant.tool_id,
            )
        return tool

    # -- state -----------------------------------------------------------------------------------------

    def export_state(self) -> ToolState:
        """The present state, to be stored."""
        return ToolState(generation=self._generation, tools=dict(self._entries))

    def restore_state(self, snapshot: ToolState) -> ToolRestoreReport:
        """Take over a stored state when a session is opened again. Never fails for missing sources.

        The snapshot's generation is adopted whatever the registry's is, and raised by one only if the live tools are
        others than the snapshot's. Ids that no source offers become orphans, unless their name is offered live under
        another id.
        """
        live = self._listing()
        names = {tool.manifest.name for tool in live.values()}
        for tool_id, stored in snapshot.tools.items():
            found = self._offers_of(tool_id) if tool_id not in live else []
            if len(found) == 1 and stored.manifest.name == found[0].manifest.name and stored.manifest.name not in names:
                live[tool_id] = found[0]
                names.add(stored.manifest.name)
        entries = {tool_id: self._entry_of(tool, snapshot.tools.get(tool_id)) for tool_id, tool in live.items()}
        orphaned: list[str] = []
        for tool_id, stored in snapshot.tools.items():
            if tool_id not in live and stored.manifest.name not in names:
                entries[tool_id] = stored.model_copy(update={"orphaned": True})
                orphaned.append(tool_id)
        self._live, self._entries = live, entries
        self._generation = snapshot.generation + (0 if entries == snapshot.tools else 1)
        return ToolRestoreReport(orphaned=tuple(sorted(orphaned)))

    def apply_state(self, edited: ToolState) -> None:
        """Take over a host's edit of the present state; the generation rises by one.

        What the edit leaves out stays known and is no member: which tools exist is the sources' say.

        Raises:
            ToolGenerationError: the edit was made against another generation.
            ToolValidationError: it names a tool that no source offers and that it does not flag as an orphan, or one
                that two sources offer.
        """
        if edited.generation != self._generation:
            raise ToolGenerationError(edited.generation, self._generation)
        live, entries = dict(self._live), dict[str, ToolEntry]()
        for tool_id, entry in edited.tools.items():
            found = self._offers_of(tool_id)
            if len(found) > 1:
                raise ToolValidationError(f"two sources offer the tool `{tool_id}`", field="tools", value=tool_id)
            if not found and not entry.orphaned:
                raise ToolValidationError(f"no source offers the tool `{tool_id}`", field="tools", value=tool_id)
            if found:
                live[tool_id] = found[0]
            entries[tool_id] = self._entry_of(found[0], entry) if found else entry
        _check_names(live.values())
        names = {tool.manifest.name for tool in live.values()}
        entries = {key: entry for key, entry in entries.items() if key in live or entry.manifest.name not in names}
        for tool_id, tool in self._live.items():
            entries.setdefault(tool_id, ToolEntry(manifest=tool.manifest, member=False))
        self._live, self._entries = live, entries
        self._generation += 1

    # -- inside ----------------------------------------------------------------------------------------

    def _listing(self) -> dict[str, Tool]:
        registered = StaticToolSource(REGISTERED_SOURCE, self._registered)
        live: dict[str, Tool] = {}
        for source in (*self._sources.values(), registered):
            for tool in _listed(source):
                manifest = tool.manifest
                if manifest.tool_id in live:
                    raise ToolValidationError(
                        f"duplicate tool id `{manifest.tool_id}`", field="tool_id", value=manifest.tool_id
                    )
                live[manifest.tool_id] = tool
        _check_names(live.values())
        return live

    def _take_listing(self, listing: dict[str, Tool], *, changed: bool = False) -> None:
        """Bring live tools and state to what sources list; what they only resolve stays while they do."""
        live = dict(listing)
        names = {tool.manifest.name for tool in live.values()}
        for tool_id in self._live:
            found = self._offers_of(tool_id) if tool_id not in live else []
            if len(found) == 1 and found[0].manifest.name not in names:
                live[tool_id] = found[0]
                names.add(found[0].manifest.name)
        entries = {tool_id: self._entry_of(tool, self._entries.get(tool_id)) for tool_id, tool in live.items()}
        for tool_id, entry in self._entries.items():
            if tool_id not in live and entry.manifest.name not in names:
                entries[tool_id] = entry.model_copy(update={"orphaned": True})
        self._live = live
        self._adopt(entries, changed=changed)

    def _adopt(self, entries: dict[str, ToolEntry], *, changed: bool = False) -> None:
        if changed or entries != self._entries:
            self._entries = entries
            self._generation += 1

    def _bound(self, tool_id: str) -> bool:
        """True when a source offers the tool; an orphan is bound again here."""
        entry = self._entries.get(tool_id)
        if entry is None or not entry.orphaned:
            return entry is not None
        found = self._offers_of(tool_id)
        if len(found) != 1 or any(found[0].manifest.name == tool.manifest.name for tool in self._live.values()):
            return False
        self._live[tool_id] = found[0]
        self._adopt({**self._entries, tool_id: self._entry_of(found[0], entry)})
        return True

    def _offers_of(self, tool_id: str) -> list[Tool]:
        found = [tool for tool in (source.resolve(tool_id) for source in self._sources.values()) if tool is not None]
        return found + [tool for tool in self._registered if tool.manifest.tool_id == tool_id]

    def _source(self, source_id: str) -> ToolSource:
        source = self._sources.get(source_id)
        if source is None:
            raise UnknownToolSourceError(source_id)
        return source

    def _entry_of(self, tool: Tool, known: ToolEntry | None) -> ToolEntry:
        return self._within_access(ToolEntry(manifest=tool.manifest, member=known is None or known.member))

    def _within_access(self, entry: ToolEntry) -> ToolEntry:
        name, allowed = entry.manifest.name, self._access.tools
        may_be_member = not self._is_hidden(name) and (allowed is None or name in allowed)
        return entry if may_be_member or not entry.member else entry.model_copy(update={"member": False})

    def _is_hidden(self, name: str) -> bool:
        return name in self._access.hidden_tools

    def _is_member(self, entry: ToolEntry) -> bool:
        return entry.is_member and not self._is_hidden(entry.manifest.name)


def _offered_of(source: ToolSource, known: Iterable[str], live: Iterable[str]) -> set[str]:
    """Ids that a source offers; of one that fails, those of all live tools: what another source offers is looked up."""
    try:
        resolved = {tool_id for tool_id in known if source.resolve(tool_id) is not None}
        return resolved | {tool.manifest.tool_id for tool in source.tools()}
    except Exception:  # noqa: BLE001 - a source that fails is one that a host wants to remove
        return set(live)


def _listed(source: ToolSource) -> Sequence[Tool]:
    try:
        return source.tools()
    except Exception as error:
        raise ToolRegistryError(
            f"tool source `{source.source_id}` cannot list its tools: {error}",
            field="source_id",
            value=source.source_id,
        ) from error


def _check_names(tools: Iterable[Tool]) -> None:
    names: set[str] = set()
    for tool in tools:
        name = tool.manifest.name
        if name in names:
            raise ToolValidationError(f"duplicate tool name `{name}`", field="name", value=name)
        names.add(name)
