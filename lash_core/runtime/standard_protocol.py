"""The standard protocol as a plugin: what a host runs turns with that names no other protocol.

``docs/contracts/sessions.md`` 2.14, 3.3.
"""

from __future__ import annotations

from lash_core.protocols.standard import StandardProtocol
from lash_core.protocols.standard_state import PROTOCOL_ID
from lash_core.protocols.turn_machine import ProtocolDriver
from lash_core.runtime.plugins import PluginFactory, ProtocolSession, SessionPlugin, StatelessProtocolSession

_DRIVER = StandardProtocol()


class StandardProtocolFactory(PluginFactory):
    """Gives sessions the standard protocol. A factory with the same id takes its place."""

    plugin_id = PROTOCOL_ID
    provides_protocol = True

    def build(self, session_id: str) -> SessionPlugin:
        """The plugin of one session."""
        del session_id
        return StandardProtocolPlugin()

    def tool_names(self) -> frozenset[str] | None:
        """None of its own."""
        return frozenset()


class StandardProtocolPlugin(SessionPlugin):
    """The protocol in one session; it keeps nothing between turns."""

    def protocol_driver(self) -> ProtocolDriver:
        """See ``SessionPlugin``."""
        return _DRIVER

    def protocol_session(self) -> ProtocolSession:
        """See ``SessionPlugin``."""
        return StatelessProtocolSession()
