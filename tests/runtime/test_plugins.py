"""Plugin host, stack and session."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest

from lash_core.errors import PluginSessionError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.base import JsonValue
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugin.stack import PluginStack
from lash_core.runtime.plugins import PluginFactory, PluginLifecycleEvent, SessionPlugin
from lash_core.runtime.process.engine import DuplicateEngineError, EngineRun, ProcessEngine


class Engine:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        return ProcessAwaitOutput.success(run.process_id)


class Counter(SessionPlugin):
    """A plugin with one number as its state."""

    def __init__(self) -> None:
        self.count = 0
        self.events: list[PluginLifecycleEvent] = []

    @property
    def revision(self) -> int:
        return self.count

    def snapshot(self) -> JsonValue:
        if self.count < 0:
            raise ValueError("nothing to tell")
        return {"count": self.count}

    def restore(self, state: JsonValue) -> None:
        self.count = 0 if state is None else state["count"]

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        self.events.append(event)
        if self.count < 0:
            raise ValueError("no events, please")


class Factory(PluginFactory):
    def __init__(self, plugin_id: str, *kinds: str) -> None:
        self.plugin_id = plugin_id
        self.built: list[str] = []
        self._kinds = kinds

    def build(self, session_id: str) -> SessionPlugin:
        self.built.append(session_id)
        return Counter()

    def process_engines(self) -> Sequence[ProcessEngine]:
        return [Engine(kind) for kind in self._kinds]


def ids(stack: PluginStack) -> list[str]:
    return [factory.plugin_id for factory in stack.into_factories()]


def test_a_stack_is_edited_in_place() -> None:
    """Push, extend, remove, replace in place or at the end, retain."""
    stack = PluginStack().push(Factory("a")).extend([Factory("b"), Factory("c")])
    new_b = Factory("b")
    stack.replace(new_b).replace(Factory("d")).remove("a").remove("nobody")
    assert ["b", "c", "d"] == ids(stack)
    assert new_b is stack.into_factories()[0]

    assert ["c", "d"] == ids(stack.retain(lambda factory: factory.plugin_id != "b"))


def test_the_later_factory_of_an_id_wins() -> None:
    """A user's plugin replaces a built-in one, its engines too."""
    host = PluginHost([Factory("a", "old"), Factory("a", "new")])

    assert ("new",) == host.process_engines.kinds


def test_two_engines_of_one_kind_are_refused_by_name() -> None:
    """Whichever plugins bring them."""
    with pytest.raises(DuplicateEngineError, match="`report`"):
        PluginHost([Factory("a", "report"), Factory("b", "report")])


def test_a_factory_needs_an_id() -> None:
    """It names where the plugin's state is kept."""
    with pytest.raises(PluginSessionError, match="Factory has no plugin_id"):
        PluginHost([Factory(" ")])


def test_one_exclusive_session_of_an_id_at_a_time() -> None:
    """A dropped or unregistered one frees its id; the others never take it."""
    host = PluginHost([Factory("a")])
    first = host.build_session("s")
    with pytest.raises(PluginSessionError, match="already registered"):
        host.build_session("s")
    beside = host.build_session("s", exclusive=False)
    host.unregister_session(beside)
    with pytest.raises(PluginSessionError, match="already registered"):
        host.build_session("s")
    host.unregister_session(first)
    second = host.build_session("s")
    assert "s" == second.session_id
    del second
    gc.collect()

    assert "s" == host.build_session("s").session_id


def test_state_goes_out_and_comes_back() -> None:
    """A plugin without stored state is told so."""
    host = PluginHost([Factory("a"), Factory("b")])
    session = host.build_session("s")
    plugin = session.plugins["a"]
    assert isinstance(plugin, Counter)
    plugin.count = 4
    snapshot = session.snapshot()
    other = PluginHost([Factory("a"), Factory("c")]).build_session("s")
    other.restore(snapshot)

    assert [4, 0] == [plugin.count for plugin in other.plugins.values() if isinstance(plugin, Counter)]
    assert snapshot is not None
    assert (4, {"count": 4}) == (snapshot.plugins["a"].meta.revision, snapshot.plugins["a"].meta.state)


def test_a_plugin_that_cannot_tell_its_state_leaves_what_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    """There is no snapshot then: a new one without it would erase its state."""
    session = PluginHost([Factory("a"), Factory("b")]).build_session("s")
    plugin = session.plugins["a"]
    assert isinstance(plugin, Counter)
    plugin.count = -1

    assert session.snapshot() is None
    assert "plugin a could not tell its state" in caplog.text


async def test_every_plugin_hears_of_an_event_whatever_another_does(caplog: pytest.LogCaptureFixture) -> None:
    """A failing one is logged."""
    session = PluginHost([Factory("a"), Factory("b")]).build_session("s")
    first, second = session.plugins["a"], session.plugins["b"]
    assert isinstance(first, Counter)
    assert isinstance(second, Counter)
    first.count = -1
    await session.emit(PluginLifecycleEvent.TURN_PERSISTED)

    assert [PluginLifecycleEvent.TURN_PERSISTED] == second.events
    assert "plugin a failed on turn_persisted" in caplog.text


def test_a_plugin_that_cannot_be_built_or_restored_is_named() -> None:
    """The session is not half there: its id stays free."""

    class Broken(Factory):
        def build(self, session_id: str) -> SessionPlugin:
            if self.built:
                return Counter()
            self.built.append(session_id)
            raise LookupError("no room")

    host = PluginHost([Broken("a")])
    with pytest.raises(PluginSessionError, match="plugin `a` could not be built: no room"):
        host.build_session("s")

    assert "s" == host.build_session("s").session_id


def test_tool_names_are_known_when_every_factory_knows_its_own() -> None:
    """One that does not makes the answer unknown, so that no call is declined by mistake."""

    class Known(Factory):
        def tool_names(self) -> frozenset[str]:
            return frozenset({self.plugin_id + "-tool"})

    assert frozenset({"a-tool", "b-tool"}) == PluginHost([Known("a"), Known("b")]).tool_names()
    assert PluginHost([Known("a"), Factory("b")]).tool_names() is None
