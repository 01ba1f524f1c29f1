"""A session has exactly one protocol; the built-in one gives way."""

from __future__ import annotations

import pytest

from lash_core.errors import PluginSessionError
from lash_core.model.base import JsonValue
from lash_core.model.tool_state import ToolManifest
from lash_core.protocols.turn_machine import ProtocolDriver, TurnMachine, TurnStart
from lash_core.runtime.plugin.host import PluginHost, PluginSession
from lash_core.runtime.plugin.stack import PluginStack
from lash_core.runtime.plugins import PluginFactory, ProtocolSession, SessionPlugin, StatelessProtocolSession
from lash_core.runtime.tool_sources import StaticToolSource, ToolSource
from tests.runtime.test_tool_registry import tool


class Driver:
    """A protocol by name."""

    def __init__(self, protocol_id: str) -> None:
        self.protocol_id = protocol_id

    def begin(self, start: TurnStart) -> TurnMachine:
        raise NotImplementedError

    def restore(self, checkpoint: JsonValue) -> TurnMachine:
        raise NotImplementedError


class Plugin(SessionPlugin):
    def __init__(self, driver: ProtocolDriver | None, session: ProtocolSession | None) -> None:
        self._parts = (driver, session)

    def protocol_driver(self) -> ProtocolDriver | None:
        return self._parts[0]

    def protocol_session(self) -> ProtocolSession | None:
        return self._parts[1]


class Factory(PluginFactory):
    def __init__(self, plugin_id: str, *, declares: bool = True, driver: bool = True, session: bool = True) -> None:
        self.plugin_id = plugin_id
        self.provides_protocol = declares
        self._parts = (driver, session)

    def build(self, session_id: str) -> SessionPlugin:
        driver, session = self._parts
        return Plugin(Driver(self.plugin_id) if driver else None, StatelessProtocolSession() if session else None)


def protocol_of(host: PluginHost) -> str:
    return host.build_session("s").protocol_driver.protocol_id


def test_the_built_in_protocol_gives_way() -> None:
    """To a plugin of its id, and to any that declares one."""
    plain = PluginHost([Factory("a", declares=False, driver=False, session=False)])

    assert "standard" == protocol_of(plain)
    assert ["standard", "a"] == [factory.plugin_id for factory in plain.factories]
    assert "mine" == protocol_of(PluginHost([Factory("mine")]))
    own = Factory("standard", declares=False)
    assert (own,) == PluginHost([own]).factories


def test_two_protocols_are_refused() -> None:
    """Where they are declared, and where they are not."""
    with pytest.raises(PluginSessionError, match="`a` and `b`"):
        PluginHost([Factory("a"), Factory("b")])
    with pytest.raises(PluginSessionError, match="exactly one protocol driver; offered by `standard` and `b`"):
        PluginHost([Factory("b", declares=False)]).build_session("s")


@pytest.mark.parametrize(
    ("factory", "missing"),
    [(Factory("a", driver=False), "protocol driver"), (Factory("a", session=False), "protocol session provider")],
)
def test_a_protocol_has_both_parts(factory: Factory, missing: str) -> None:
    """Whoever declares one gives its driver and its part of the session; a failed session frees its id."""
    host = PluginHost([factory])
    for _ in range(2):
        with pytest.raises(PluginSessionError, match=f"exactly one {missing}; offered by none"):
            host.build_session("s")


def test_plugins_hear_that_all_are_ready_and_may_add_sources() -> None:
    """After all are built, before any state is restored."""
    said: list[str] = []

    class Adds(SessionPlugin):
        def tool_sources(self) -> tuple[ToolSource, ...]:
            return (StaticToolSource("further", [tool("b")]),)

        def session_ready(self, session: PluginSession) -> None:
            said.append(f"{session.session_id} has {[manifest.name for manifest in session.tools.catalog()]}")
            session.tools.register(tool("c"))

        def restore(self, state: JsonValue) -> None:
            said.append(f"restored {state}")

    class AddsFactory(PluginFactory):
        plugin_id = "adds"

        def build(self, session_id: str) -> SessionPlugin:
            return Adds()

        def tool_names(self) -> frozenset[str]:
            return frozenset({"b", "c"})

    host = PluginHost([AddsFactory()])
    session = host.build_session("s")
    ours: list[ToolManifest] = [manifest for manifest in session.tools.catalog() if manifest.name in ("b", "c")]

    assert "restored None" == said[-1]
    assert said[0].startswith("s has ")
    assert ["b", "c"] == [manifest.name for manifest in ours]


def test_a_stack_is_configured_by_a_function() -> None:
    """Which edits it as it likes."""
    stack = PluginStack().configure(lambda one: one.push(Factory("a")).push(Factory("b"))).remove("a")

    assert ["b"] == [factory.plugin_id for factory in stack.into_factories()]
