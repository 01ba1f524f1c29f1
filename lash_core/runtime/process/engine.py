"""Process engines: the code behind ``engine`` inputs, one a kind (contract 3.10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lash_core.client_enqueue import KindResolver
from lash_core.errors import PluginSessionError
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.base import JsonValue
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import ProcessSegmentHandover
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.store.effect_host import ScopedEffects
from lash_core.store.process_registry import ProcessRegistry

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


class RuntimeAlreadyBuiltError(PluginSessionError):
    """A run asked for its runtime twice."""

    code = "runtime_already_built"


class DuplicateEngineError(PluginSessionError):
    """Two engines of one kind."""

    code = "duplicate_process_engine"

    def __init__(self, kind: str) -> None:
        super().__init__(f"process engine kind `{kind}` is registered twice", field="kind", value=kind)


class RuntimeBuilder:
    """Builds the runtime of one run, once, when the run asks for it (decision 15)."""

    __slots__ = ("_build", "runtime")

    def __init__(self, build: Callable[[], Awaitable[LashRuntime]]) -> None:
        self._build: Callable[[], Awaitable[LashRuntime]] | None = build
        self.runtime: LashRuntime | None = None
        """The runtime once it is built; the runner closes it after the run."""

    async def build(self) -> LashRuntime:
        """Build the runtime.

        Raises:
            RuntimeAlreadyBuiltError: it was asked for before.
            MissingEnvironmentError: the captured environment is gone.
            PluginSessionError: the session cannot be opened or rebuilt.
        """
        build, self._build = self._build, None
        if build is None:
            raise RuntimeAlreadyBuiltError("the runtime of this run is already built")
        self.runtime = await build()
        return self.runtime

    def forget(self) -> None:
        """Build nothing any more, and let go of what was built; safe to repeat."""
        self._build = self.runtime = None


class EngineRun:
    """One run of an engine.

    Attributes:
        registration: what to run.
        registry: the rows; writes of the run carry ``context.run_lease``.
        context: lease, row and wake target.
        cancellation: fired when the run is to end.
        effects: the controller of the scope ``process(<pid>)``.
        runtime_builder: for engines that need a session.
        handover: what the segment before left behind, or None.
        find_kinds: answers what finds the manifests of children's kinds; None where nothing does.
        open_attachments: answers the process's attachments; None where the host has none.
        history: of the session that started the process, as it was captured; known once the runtime is built.
    """

    __slots__ = (
        "cancellation",
        "context",
        "effects",
        "find_kinds",
        "handover",
        "history",
        "open_attachments",
        "registration",
        "registry",
        "runtime_builder",
    )

    def __init__(
        self,
        registration: ProcessRegistration,
        registry: ProcessRegistry,
        context: ProcessExecutionContext,
        cancellation: CancellationToken,
        effects: ScopedEffects,
        runtime_builder: RuntimeBuilder,
    ) -> None:
        self.registration = registration
        self.registry = registry
        self.context = context
        self.cancellation = cancellation
        self.effects = effects
        self.runtime_builder = runtime_builder
        self.handover: ProcessSegmentHandover | None = None
        self.find_kinds: Callable[[], KindResolver] | None = None
        self.open_attachments: Callable[[], SessionAttachments] | None = None
        self.history = ChronologicalProjection()

    @property
    def process_id(self) -> str:
        """The process that runs."""
        return self.registration.id

    @property
    def payload(self) -> JsonValue:
        """The engine input's payload; None for other inputs."""
        return getattr(self.registration.input, "payload", None)


@runtime_checkable
class ProcessEngine(Protocol):
    """Runs processes of one kind."""

    @property
    def kind(self) -> str:
        """The kind; unique in a worker."""
        ...

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Run a process to its outcome.

        An exception that leaves it ends the process as failed (``process_failed``); store failures and lost leases are
        for the worker to handle.
        """
        ...


class ProcessEngineRegistry:
    """Engines by kind.

    Raises:
        DuplicateEngineError: two engines of one kind; it names the kind.
    """

    def __init__(self, engines: Iterable[ProcessEngine] = ()) -> None:
        self._engines: dict[str, ProcessEngine] = {}
        for engine in engines:
            self.register(engine)

    def register(self, engine: ProcessEngine) -> None:
        """Add an engine: the one place where kinds are checked. Raises: DuplicateEngineError."""
        if engine.kind in self._engines:
            raise DuplicateEngineError(engine.kind)
        self._engines[engine.kind] = engine

    def get(self, kind: str) -> ProcessEngine | None:
        """The engine of that kind, or None."""
        return self._engines.get(kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds, sorted."""
        return tuple(sorted(self._engines))

    def __contains__(self, kind: object) -> bool:
        return kind in self._engines

    def __iter__(self) -> Iterator[ProcessEngine]:
        return iter(self._engines.values())

    def __len__(self) -> int:
        return len(self._engines)
