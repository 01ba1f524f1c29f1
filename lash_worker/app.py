"""The app: what a user declares, and the manifests made from it (DESIGN 6)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from lash_core.client_trigger_options import TriggerOptions
from lash_core.errors import SettingsError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import ProcessEventType
from lash_core.model.manifest import KindManifest
from lash_core.model.monitor import MonitorSpecs
from lash_core.model.registration import RetryPolicy
from lash_core.model.session import SessionPolicy
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process.engine import ProcessEngine
from lash_core.runtime.residency import Residency
from lash_core.runtime.tools import Tool
from lash_core.settings import load_settings
from lash_worker.app_checks import (
    checked_disposition,
    checked_event_types,
    checked_name,
    checked_queue,
    checked_signals,
    checked_timeout,
)
from lash_worker.app_declaration import Declaration
from lash_worker.app_engine import AppEngine, AppPools
from lash_worker.app_sessions import ProvidersOf, SessionsDeclaration, declared_sessions
from lash_worker.app_signature import ProcessSignature
from lash_worker.app_tools import AppTool, ToolOptions
from lash_worker.app_trigger import DeclaredTrigger, declared_trigger
from lash_worker.isolation.declared import Isolation, RqSignature, checked_isolation
from lash_worker.isolation.engine import IsolatedEngine
from lash_worker.isolation.horses import Horses
from lash_worker.thread_pool import ThreadPool

THREADS_DEFAULT = 64
"""Threads for synchronous functions: as many as a worker has slots by default."""

_F = TypeVar("_F", bound=Callable[..., Any])


class App:
    """Declares processes and tools.

    Args:
        name: of the app, 1-128 letters, digits, ``.``, ``_``, ``/``, ``-``.
        version: recorded with each start; pinned rows run on this version only.
    """

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name = checked_name(name, "app name")
        self.version = version
        self.import_path: str | None = None
        """``module:attribute`` that ``load_app`` found it under; work-horses import it from there."""
        self._processes: dict[str, Declaration] = {}
        self._tools: dict[str, AppTool] = {}
        self._triggers: dict[str, DeclaredTrigger] = {}
        self.declared_sessions: SessionsDeclaration | None = None
        """What ``sessions`` declared; a worker whose apps declare none runs no session's queue."""

    def process(  # noqa: PLR0913 - one keyword a fact of the manifest
        self,
        kind: str,
        *,
        disposition: RecoveryDisposition | str,
        queue: str = "default",
        signals: Mapping[str, Any] | None = None,
        event_types: Iterable[ProcessEventType | str] = (),
        timeout_ms: int | None = None,
        version: str | None = None,
        retry: RetryPolicy | None = None,
        isolation: Isolation | None = None,
    ) -> Callable[[_F], _F]:
        """Declare a process kind. The function takes ``(ctx)`` or ``(ctx, params)`` and is returned unchanged.

        Args:
            kind: unique in a worker.
            disposition: what may happen when the worker dies; there is no default.
            queue: where its processes wait.
            signals: name → type of the payload, a JSON schema, or None for anything.
            event_types: further types that ``ctx.emit`` may append.
            timeout_ms: a run that takes longer ends as failed, class and code ``timeout`` / ``process_timeout``.
            version: pins rows to a worker whose app has this version; an app without one has it for this kind.
            retry: recorded with each start: how often, and after which pause, a process that failed is run again.
            isolation: ``"process"`` runs a plain function in an OS process of its own, which a cancel or a timeout
                kills; only workers with ``--isolated N`` have such kinds.

        Raises:
            SettingsError: a name, queue, signal, timeout, disposition or isolation that is not legal; a kind declared
                twice; a function with another signature, or an async one to be isolated.
        """
        facts = self._facts(kind, disposition, queue, timeout_ms, version, retry)
        facts = facts.model_copy(update={"event_types": checked_event_types(kind, event_types)})
        named = checked_signals(kind, signals or {})

        def declare(function: _F) -> _F:
            signature = ProcessSignature(function, f"process `{kind}`")
            isolated = checked_isolation(facts, isolation, signature, named)
            self._processes[kind] = Declaration(facts, signature, named, isolated)
            return function

        return declare

    def rq_process(
        self,
        kind: str,
        *,
        function: str,
        disposition: RecoveryDisposition | str,
        queue: str = "default",
        timeout_ms: int | None = None,
        version: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Declare an existing RQ function as a process kind; it runs in a work-horse, as the RQ job that it expects.

        Params are ``{"args": […], "kwargs": {…}}``. What may run is what an app's code names here: never data.

        Args:
            kind: unique in a worker.
            function: ``module:function``; work-horses import it, the worker itself does not.
            disposition: what may happen when the worker dies; there is no default.
            queue: where its processes wait.
            timeout_ms: as of ``process``.
            version: as of ``process``.
            retry: as of ``process``.

        Raises:
            SettingsError: as ``process``, or a path of another form.
        """
        facts = self._facts(kind, disposition, queue, timeout_ms, version, retry)
        self._processes[kind] = Declaration(facts, RqSignature(function, f"process `{kind}`"), {}, "process")

    def _facts(
        self,
        kind: str,
        disposition: RecoveryDisposition | str,
        queue: str,
        timeout_ms: int | None,
        version: str | None,
        retry: RetryPolicy | None,
    ) -> KindManifest:
        checked_name(kind, "process kind")
        if kind in self._processes:
            raise SettingsError(
                f"process kind `{kind}` is declared twice in app `{self.name}`", field="kind", value=kind
            )
        return KindManifest(
            kind=kind,
            disposition=checked_disposition(kind, disposition),
            app=self.name,
            app_version=self.version,
            version_pin=version,
            queue=checked_queue(kind, queue),
            timeout_ms=checked_timeout(kind, timeout_ms),
            retry_policy=retry,
        )

    def tool(self, name: str, *, description: str | None = None, **options: Unpack[ToolOptions]) -> Callable[[_F], _F]:
        """Declare a tool of sessions and of ``tool_call`` processes: ``fn(ctx, name: type, …)``.

        Args:
            name: unique in a worker.
            description: what models read; the first paragraph of the docstring by default.
            options: see ``ToolOptions``.

        Raises:
            SettingsError: a name or option that is not legal, a name declared twice; a function of another signature.
        """
        checked_name(name, "tool name")
        if name in self._tools:
            raise SettingsError(f"tool `{name}` is declared twice in app `{self.name}`", field="tool", value=name)

        def declare(function: _F) -> _F:
            self._tools[name] = AppTool(name, function, description, options)
            return function

        return declare

    def trigger(self, name: str, kind: str, params: Any = None, **options: Unpack[TriggerOptions]) -> None:
        """Declare a trigger, which workers of this app register when they start; its name is ``<app>/<name>``.

        Args:
            name: unique in the app.
            kind: what its processes are; of this app or of another one.
            params: JSON; ``{"$payload": "<JSON pointer>"}`` in it stands for a part of the occurrence's payload. None
                = the whole payload for a source, no params for a schedule.
            options: exactly one of ``cron``, ``interval_ms`` and ``source``, and see ``TriggerOptions``.

        Raises:
            SettingsError: a name, schedule, source or option that is not legal; a name declared twice.
        """
        checked_name(name, "trigger name")
        if name in self._triggers:
            raise SettingsError(f"trigger `{name}` is declared twice in app `{self.name}`", field="trigger", value=name)
        self._triggers[name] = declared_trigger(self.name, name, kind, params, options)

    def sessions(
        self,
        *,
        policy: SessionPolicy | None = None,
        providers: ProvidersOf = (),
        plugins: Sequence[PluginFactory] = (),
        residency: Residency | str = Residency.ACTIVE_PATH_ONLY,
        monitors: MonitorSpecs = (),
    ) -> None:
        """Declare that workers of this app run sessions: their queues, with the app's tools.

        Args:
            policy: model, provider, limits and prompt of sessions that say nothing else; what is stored wins.
            providers: model providers, or a function without arguments that makes them when a worker starts.
            plugins: further plugins of every session, the protocol's too if it is not the standard one.
            residency: ``active_path_only`` (default) or ``keep_all``: how much of a history a turn has in memory.
            monitors: commands that may run beside a session, each as a process ``lash.monitor`` that one worker at a
                time runs, or a function that answers those of one session.

        Raises:
            SettingsError: declared twice; two providers or monitors of one id; the policy names a provider that is not
                among them.
        """
        if self.declared_sessions is not None:
            raise SettingsError(f"app `{self.name}` declares its sessions twice", field="sessions", value=self.name)
        self.declared_sessions = declared_sessions(self.name, policy, providers, plugins, residency, monitors)

    def triggers(self) -> tuple[DeclaredTrigger, ...]:
        """The declared triggers, in the order of their declaration."""
        return tuple(self._triggers.values())

    def manifests(self) -> dict[str, KindManifest]:
        """Kind → manifest. Raises: SettingsError for an annotation that cannot be used."""
        return {kind: declaration.manifest for kind, declaration in self._processes.items()}

    @property
    def isolated_kinds(self) -> tuple[str, ...]:
        """Kinds that run in work-horses, sorted."""
        return tuple(sorted(kind for kind, declared in self._processes.items() if declared.isolation is not None))

    def isolated_signature(self, kind: str) -> ProcessSignature | RqSignature | None:
        """What a work-horse calls for this kind; None for a kind that is not isolated."""
        declared = self._processes.get(kind)
        return None if declared is None or declared.isolation is None else declared.signature

    def plugin_factory(
        self,
        *,
        threads_max: int = THREADS_DEFAULT,
        record_tracebacks: bool | None = None,
        horses: Horses | None = None,
    ) -> PluginFactory:
        """The app as a plugin: one engine a kind, and its tools.

        Args:
            threads_max: synchronous functions at once; a worker passes its concurrency.
            record_tracebacks: None asks the settings (``LASH_RECORD_TRACEBACKS``).
            horses: where isolated kinds run; without, they have no engine here.

        Raises:
            SettingsError: an annotation that cannot be used, or a setting that is not legal.
        """
        if record_tracebacks is None:
            record_tracebacks = load_settings().record_tracebacks
        pools = AppPools(
            ThreadPool(threads_max, f"lash-{self.name}"), ThreadPool(threads_max, f"lash-{self.name}-step")
        )
        engines = self.engines(pools, record_tracebacks=record_tracebacks, horses=horses)
        return AppPluginFactory(self, self._tools, pools, engines)

    def engines(
        self, pools: AppPools, *, record_tracebacks: bool, horses: Horses | None = None
    ) -> tuple[ProcessEngine, ...]:
        """One engine a kind, its synchronous function run in ``pools`` or in ``horses``. Raises: SettingsError."""
        made: list[ProcessEngine] = []
        for kind, declaration in self._processes.items():
            signature, timeout_ms = declaration.signature, declaration.manifest.timeout_ms
            if declaration.isolation is None and isinstance(signature, ProcessSignature):
                made.append(
                    AppEngine(
                        kind,
                        signature,
                        app_version=self.version,
                        timeout_ms=timeout_ms,
                        pools=pools,
                        signal_types=declaration.signal_types,
                        record_tracebacks=record_tracebacks,
                    )
                )
            elif horses is not None:
                made.append(
                    IsolatedEngine(
                        kind,
                        signature,
                        app_path=self.import_path or "",
                        app_version=self.version,
                        timeout_ms=timeout_ms,
                        horses=horses,
                        record_tracebacks=record_tracebacks,
                    )
                )
        return tuple(made)

    def __repr__(self) -> str:
        return f"App({self.name!r}, kinds={sorted(self._processes)}, tools={sorted(self._tools)})"


class AppPluginFactory(PluginFactory):
    """An app as a plugin. ``App.plugin_factory`` makes it."""

    def __init__(
        self, app: App, tools: Mapping[str, AppTool], pools: AppPools, engines: Sequence[ProcessEngine]
    ) -> None:
        self.plugin_id = f"app:{app.name}"
        self.plugin_version = app.version or ""
        self._engines = tuple(engines)
        self._tools = tuple(tool.to_tool(pools.functions) for tool in tools.values())
        self._manifests = app.manifests()
        self._pools = pools

    def build(self, session_id: str) -> SessionPlugin:
        """The app's tools in one session."""
        del session_id
        return _AppPlugin(self._tools)

    def process_engines(self) -> Sequence[ProcessEngine]:
        """One engine a kind."""
        return self._engines

    def manifests(self) -> Mapping[str, KindManifest]:
        """The app's kinds."""
        return self._manifests

    def tool_names(self) -> frozenset[str]:
        """The declared tools."""
        return frozenset(tool.manifest.name for tool in self._tools)

    def close(self) -> None:
        """Let the threads end. May be called twice."""
        self._pools.close()


class _AppPlugin(SessionPlugin):
    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    def tools(self) -> Sequence[Tool]:
        """The app's tools."""
        return self._tools


def load_app(name: str) -> App:
    """Import the app that ``module:attribute`` names.

    Raises:
        SettingsError: the name has another form; module or attribute is not there, the text says which; the module
            fails while it is imported; the attribute is no ``App``.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise SettingsError(f"app {name!r} must be MODULE:ATTRIBUTE, as in reports:app", field="app", value=name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not missing:
            # Raised by hand, by a part that needs an extra: its own text says more.
            text = f"app {name!r}: importing {module_name!r} failed: {error}"
        elif missing == module_name or module_name.startswith(f"{missing}."):
            text = f"app {name!r}: there is no module {missing!r} (in the working folder or installed)"
        else:
            text = f"app {name!r}: module {module_name!r} imports {missing!r}, which is not there"
        raise SettingsError(text, field="app", value=name) from error
    except Exception as error:
        text = f"app {name!r}: importing {module_name!r} failed: {type(error).__name__}: {error}"
        raise SettingsError(text, field="app", value=name) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = sorted(key for key, value in inspect.getmembers(module) if isinstance(value, App))
            hint = f"; it has the apps {', '.join(apps)}" if apps else "; it has no App at all"
            text = f"app {name!r}: module {module_name!r} has no attribute {attribute!r}{hint}"
            raise SettingsError(text, field="app", value=name)
        found = getattr(found, part)
    if not isinstance(found, App):
        raise SettingsError(f"app {name!r} is a {type(found).__name__}, not a lash_worker.App", field="app", value=name)
    found.import_path = name
    return found
