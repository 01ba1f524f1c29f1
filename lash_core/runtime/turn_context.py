"""What a turn hands to the code that it runs, and that lives no longer than it: inputs of plugins, a live extension."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProtocolTurnExtensionHandle:
    """A live object of the protocol that runs the turn. Never stored: a rebuilt context has none."""

    extension: object

    def downcast(self, kind: type[T]) -> T | None:
        """The extension, if it is one of that type."""
        return self.extension if isinstance(self.extension, kind) else None


@dataclass(frozen=True, slots=True)
class TurnContext:
    """Live inputs of plugins for one turn, looked up by their type. Immutable, never stored."""

    live_inputs: tuple[object, ...] = ()

    def with_input(self, value: object) -> TurnContext:
        """A copy with one more input; it comes before an older one of its type."""
        return TurnContext((value, *self.live_inputs))

    def get(self, kind: type[T]) -> T | None:
        """The newest input of that type, or None."""
        return next((value for value in self.live_inputs if isinstance(value, kind)), None)

    @property
    def is_empty(self) -> bool:
        """True when no plugin gave an input."""
        return not self.live_inputs


class RuntimeTurnPhaseProbe(Protocol):
    """Told when a named phase begins and ends; for measurements and tests. It must not raise."""

    def begin_named(self, phase: str) -> None:
        """A phase begins."""
        ...

    def end_named(self, phase: str) -> None:
        """It ends, however."""
        ...


class RuntimeNamedPhase:
    """A phase from now until it is left or ended, whichever is first."""

    __slots__ = ("_phase", "_probe")

    def __init__(self, probe: RuntimeTurnPhaseProbe | None, phase: str) -> None:
        self._probe = probe
        self._phase = phase
        if probe is not None:
            probe.begin_named(phase)

    def end(self) -> None:
        """End it; again changes nothing."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.end_named(self._phase)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
