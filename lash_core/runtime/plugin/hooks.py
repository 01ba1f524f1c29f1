"""What plugins say to a turn, put together: transforms, injected messages, aborts, compactions.

``docs/contracts/sessions.md`` 2.14, 3.2.

Hooks of all plugins run beside each other; their answers are taken in the order of plugins. A hook that fails, or does
not end in time, is logged and counts as silent: a plugin never breaks a turn but by saying so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from lash_core.model.message import Message
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_input import CheckpointKind
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin.asking import ask_plugins
from lash_core.runtime.turn_context import TurnContext

if TYPE_CHECKING:
    from lash_core.runtime.plugins import SessionPlugin

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PluginTurn:
    """A turn that begins.

    Attributes:
        messages: that it appends: the user's, if there is one.
        read_view: the session before it.
        turn_context: live inputs of plugins.
    """

    session_id: str
    turn_id: str
    turn_index: int
    messages: tuple[Message, ...] = ()
    read_view: SessionReadView | None = None
    turn_context: TurnContext = field(default_factory=TurnContext)


@dataclass(frozen=True, slots=True)
class TurnAbort:
    """Why a plugin stops a turn before its first model call."""

    message: str
    code: str = "plugin_abort"
    plugin_id: str = ""


@dataclass(frozen=True, slots=True)
class BeforeTurn:
    """What plugins say to a turn that begins: messages to inject, and the first abort if there is one."""

    messages: tuple[Message, ...] = ()
    abort: TurnAbort | None = None


@dataclass(frozen=True, slots=True)
class PluginCheckpoint:
    """A safe boundary of a running turn."""

    session_id: str
    turn_id: str
    kind: CheckpointKind
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a new frame begins with instead of a history that grew too long. ``reason`` is the frame's."""

    messages: tuple[Message, ...] = ()
    reason: str = "compaction"


class PluginHooks:
    """The hooks of one session's plugins."""

    __slots__ = ("_plugins",)

    def __init__(self, plugins: Mapping[str, SessionPlugin]) -> None:
        self._plugins = plugins

    async def context_transforms(
        self, messages: tuple[Message, ...], token: CancellationToken | None = None
    ) -> tuple[Message, ...]:
        """The history as the model is to see it: by descending priority, each takes what the one before made.

        Args:
            messages: the history.
            token: once it fires, what is left to be asked is not asked any more.
        """
        for plugin_id, plugin in self._by_priority():
            if token is not None and token.cancelled:
                break
            found = await ask_plugins({plugin_id: _transformed(plugin, messages)}, "in context_transform", token=token)
            messages = next((answer for _, answer in found), messages)
        return messages

    async def before_turn(self, turn: PluginTurn, token: CancellationToken | None = None) -> BeforeTurn:
        """Ask every plugin. Messages are kept in the order of plugins, also beside an abort; the first abort counts.

        Args:
            turn: that begins.
            token: once it fires, who has not answered shortly after is silent.
        """

        async def ask(plugin: SessionPlugin) -> BeforeTurn | None:
            answer: Any = await plugin.before_turn(turn)
            if answer is None:
                return None
            if not isinstance(answer, BeforeTurn):
                raise TypeError(f"expected a BeforeTurn, got {type(answer).__name__}")
            return BeforeTurn(_messages(answer.messages), answer.abort)

        answers = await self._ask("before_turn", ask, token)
        messages: list[Message] = []
        abort: TurnAbort | None = None
        for plugin_id, answer in answers:
            if answer is None:
                continue
            messages += (_from_plugin(message, plugin_id) for message in answer.messages)
            if abort is None and answer.abort is not None:
                abort = TurnAbort(answer.abort.message, answer.abort.code, plugin_id)
        return BeforeTurn(tuple(messages), abort)

    async def checkpoint(
        self, checkpoint: PluginCheckpoint, token: CancellationToken | None = None
    ) -> tuple[Message, ...]:
        """What plugins have for the running turn, in the order of plugins.

        Args:
            checkpoint: the boundary.
            token: once it fires, who has not answered shortly after is silent.
        """

        async def ask(plugin: SessionPlugin) -> tuple[Message, ...]:
            return _messages(await plugin.checkpoint(checkpoint) or ())

        answers = await self._ask("checkpoint", ask, token)
        return tuple(_from_plugin(message, plugin_id) for plugin_id, messages in answers for message in messages)

    async def compact(self, messages: tuple[Message, ...]) -> Compaction | None:
        """The answer of the first compactor, by descending priority, that has one."""
        for plugin_id, plugin in self._by_priority():
            try:
                asked = plugin.compact(messages)
                answer = None if asked is None else await asked
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("plugin %s could not compact", plugin_id)
                continue
            if answer is not None:
                return answer
        return None

    def prompt_contributions(self) -> tuple[str, ...]:
        """Texts for the instructions, in the order of plugins."""
        texts: list[str] = []
        for plugin_id, plugin in self._plugins.items():
            try:
                texts += plugin.prompt_contributions()
            except Exception:  # noqa: BLE001 - a plugin is the user's code
                _log.exception("plugin %s could not contribute to the prompt", plugin_id)
        return tuple(texts)

    def _by_priority(self) -> list[tuple[str, SessionPlugin]]:
        return sorted(self._plugins.items(), key=lambda item: -item[1].priority)

    async def _ask(
        self, hook: str, ask: Callable[[SessionPlugin], Coroutine[Any, Any, T]], token: CancellationToken | None
    ) -> list[tuple[str, T]]:
        asked = {plugin_id: ask(plugin) for plugin_id, plugin in self._plugins.items()}
        return await ask_plugins(asked, f"in {hook}", token=token)


async def _transformed(plugin: SessionPlugin, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    answer = plugin.context_transform(messages)
    return messages if answer is None else _messages(await answer)


def _messages(answer: Iterable[object]) -> tuple[Message, ...]:
    """What a plugin gives as messages. Raises: TypeError: something in it is none."""
    found: list[Message] = []
    for one in answer:
        if not isinstance(one, Message):
            raise TypeError(f"expected messages, got a {type(one).__name__}")
        found.append(one)
    return tuple(found)


def _from_plugin(message: Message, plugin_id: str) -> Message:
    """An injected message says where it comes from."""
    return message if message.origin is not None else message.model_copy(update={"origin": f"plugin:{plugin_id}"})
