"""What a tool registry refuses; nothing was changed (``docs/contracts/sessions.md`` 1.13)."""

from __future__ import annotations

from lash_core.errors import NotDoneError


class ToolRegistryError(NotDoneError):
    """A tool, a source or a tool state that the registry refuses."""

    code = "tool_registry"


class ToolValidationError(ToolRegistryError):
    """A tool state names what no source, or more than one, offers; or two tools have one id or one name."""

    code = "tool_validation"


class UnknownToolSourceError(ToolRegistryError):
    """No source of that id."""

    code = "unknown_tool_source"

    def __init__(self, source_id: str) -> None:
        super().__init__(f"unknown tool source `{source_id}`", field="source_id", value=source_id)


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
    """No tool of that name or id may be called."""

    code = "tool_unavailable"
