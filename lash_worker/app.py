"""The app: what a user declares, and the manifests made from it (DESIGN 6)."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from lash_core.errors import InvalidRegistrationError, SettingsError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import ProcessEventType
from lash_core.model.manifest import KindManifest
from lash_core.model.payload_schema import check_schema
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.process_engine import ProcessEngine
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
from lash_worker.app_engine import AppEngine
from lash_worker.app_signature import ProcessSignature, payload_schema
from lash_worker.app_tools import AppTool
from lash_worker.thread_pool import ThreadPool

THREADS_DEFAULT = 64
"""Threads for synchronous functions: as many as a worker has slots by default."""

_F = TypeVar("_F", bound=Callable[..., Any])


class _Declaration:
    """One declared kind; what needs the function's annotations is made when it is first asked for."""

    def __init__(self, facts: KindManifest, signature: ProcessSignature, signals: Mapping[str, Any]) -> None:
        self.signature = signature
        self._facts = facts
        self._signals = signals

    @cached_property
    def manifest(self) -> KindManifest:
        """The manifest. Raises: SettingsError for an annotation that cannot be used."""
        subject = f"process `{self._facts.kind}`"
        schemas = {name: payload_schema(kind, f"{subject} signal `{name}`") for name, kind in self._signals.items()}
        manifest = self._facts.model_copy(
            update={
                "signals": schemas,
                "params_schema": self.signature.params_schema,
                "result_schema": self.signature.result.schema,
            }
        )
        try:
            for event_type in manifest.all_event_types():
                check_schema(event_type.payload_schema, field=event_type.name)
        except InvalidRegistrationError as error:
            raise SettingsError(f"{subject}: {error.message}", field=error.field, limit=error.limit) from error
        return manifest


class App:
    """Declares processes and tools.

    Args:
        name: of the app, 1-128 letters, digits, ``.``, ``_``, ``/``, ``-``.
        version: recorded with each start; pinned rows run on this version only.
    """

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name = checked_name(name, "app name")
        self.version = version
        self._processes: dict[str, _Declaration] = {}
        self._tools: dict[str, AppTool] = {}

    def process(
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
    ) -> Callable[[_F], _F]:
        """Declare a process kind. The function takes ``(ctx)`` or ``(ctx, params)`` and is returned unchanged.

        Args:
            kind: unique in a worker.
            disposition: what may happen when the worker dies; there is no default.
            queue: where its processes wait.
            signals: name → type of the payload, a JSON schema, or None for anything.
            event_types: further types that ``ctx.emit`` may append.
            timeout_ms: a run that takes longer ends as failed, class and code ``timeout`` / ``process_timeout``.
            version: pins rows to a worker whose app has this version.
            retry: recorded with each start; workers of this release do not retry whole processes yet.

        Raises:
            SettingsError: a name, queue, signal, timeout or disposition that is not legal; a kind declared twice; a
                function with another signature.
        """
        checked_name(kind, "process kind")
        if kind in self._processes:
            raise SettingsError(
                f"process kind `{kind}` is declared twice in app `{self.name}`", field="kind", value=kind
            )
        facts = KindManifest(
            kind=kind,
            disposition=checked_disposition(kind, disposition),
            app=self.name,
            app_version=self.version,
            version_pin=version,
            queue=checked_queue(kind, queue),
            timeout_ms=checked_timeout(kind, timeout_ms),
            event_types=checked_event_types(kind, event_types),
            retry_policy=retry,
        )
        named = checked_signals(kind, signals or {})

        def declare(function: _F) -> _F:
            signature = ProcessSignature(function, f"process `{kind}`")
            self._processes[kind] = _Declaration(facts, signature, named)
            return function

        return declare

    def tool(self, name: str, *, description: str | None = None) -> Callable[[_F], _F]:
        """Declare a tool of sessions and of ``tool_call`` processes: ``fn(ctx, name: type, …)``.

        Args:
            name: unique in a worker.
            description: what models read; the first paragraph of the docstring by default.

        Raises:
            SettingsError: a name that is not legal, or declared twice; a function with another signature.
        """
        checked_name(name, "tool name")
        if name in self._tools:
            raise SettingsError(f"tool `{name}` is declared twice in app `{self.name}`", field="tool", value=name)

        def declare(function: _F) -> _F:
            self._tools[name] = AppTool(name, function, description)
            return function

        return declare

    def manifests(self) -> dict[str, KindManifest]:
        """Kind → manifest. Raises: SettingsError for an annotation that cannot be used."""
        return {kind: declaration.manifest for kind, declaration in self._processes.items()}

    def plugin_factory(
        self, *, threads_max: int = THREADS_DEFAULT, record_tracebacks: bool | None = None
    ) -> PluginFactory:
        """The app as a plugin: one engine a kind, and its tools.

        Args:
            threads_max: synchronous functions at once; a worker passes its concurrency.
            record_tracebacks: None asks the settings (``LASH_RECORD_TRACEBACKS``).

        Raises:
            SettingsError: an annotation that cannot be used, or a setting that is not legal.
        """
        if record_tracebacks is None:
            record_tracebacks = load_settings().record_tracebacks
        return AppPluginFactory(self, self._tools, ThreadPool(threads_max, f"lash-{self.name}"), record_tracebacks)

    def engines(self, pool: ThreadPool, *, record_tracebacks: bool) -> tuple[ProcessEngine, ...]:
        """One engine a kind, its synchronous function run in ``pool``. Raises: SettingsError."""
        return tuple(
            AppEngine(
                kind,
                declaration.signature,
                self.version,
                declaration.manifest.timeout_ms,
                pool,
                record_tracebacks=record_tracebacks,
            )
            for kind, declaration in self._processes.items()
        )

    def __repr__(self) -> str:
        return f"App({self.name!r}, kinds={sorted(self._processes)}, tools={sorted(self._tools)})"


class AppPluginFactory(PluginFactory):
    """An app as a plugin. ``App.plugin_factory`` makes it."""

    def __init__(self, app: App, tools: Mapping[str, AppTool], pool: ThreadPool, record_tracebacks: bool) -> None:  # noqa: FBT001
        self.plugin_id = f"app:{app.name}"
        self.plugin_version = app.version or ""
        self._engines = app.engines(pool, record_tracebacks=record_tracebacks)
        self._tools = tuple(tool.to_tool(pool) for tool in tools.values())
        self._pool = pool

    def build(self, session_id: str) -> SessionPlugin:
        """The app's tools in one session."""
        del session_id
        return _AppPlugin(self._tools)

    def process_engines(self) -> Sequence[ProcessEngine]:
        """One engine a kind."""
        return self._engines

    def tool_names(self) -> frozenset[str]:
        """The declared tools."""
        return frozenset(tool.manifest.name for tool in self._tools)

    def close(self) -> None:
        """Let the threads end. May be called twice."""
        self._pool.close()


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
        if missing == module_name or module_name.startswith(f"{missing}."):
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
    return found
