"""An ordered list of plugin factories that a host edits before it builds its ``PluginHost``.

``docs/contracts/sessions.md`` 2.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lash_core.runtime.plugins import PluginFactory


class PluginStack:
    """Factories in order; each edit answers the stack itself."""

    def __init__(self, factories: Iterable[PluginFactory] = ()) -> None:
        self._factories: list[PluginFactory] = list(factories)

    def push(self, factory: PluginFactory) -> PluginStack:
        """Add one at the end."""
        self._factories.append(factory)
        return self

    def extend(self, factories: Iterable[PluginFactory]) -> PluginStack:
        """Add several at the end."""
        self._factories.extend(factories)
        return self

    def remove(self, plugin_id: str) -> PluginStack:
        """Take out every factory of an id; a missing one is success."""
        return self.retain(lambda factory: factory.plugin_id != plugin_id)

    def replace(self, factory: PluginFactory) -> PluginStack:
        """Put a factory in the place of the one with its id, else at the end."""
        for index, other in enumerate(self._factories):
            if other.plugin_id == factory.plugin_id:
                self._factories[index] = factory
                return self
        return self.push(factory)

    def retain(self, keep: Callable[[PluginFactory], bool]) -> PluginStack:
        """Keep the factories for which ``keep`` answers True."""
        self._factories = [factory for factory in self._factories if keep(factory)]
        return self

    def configure(self, edit: Callable[[PluginStack], object]) -> PluginStack:
        """Let a function edit the stack."""
        edit(self)
        return self

    def into_factories(self) -> tuple[PluginFactory, ...]:
        """The factories in order."""
        return tuple(self._factories)
