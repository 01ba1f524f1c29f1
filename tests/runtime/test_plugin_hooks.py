"""Hooks of plugins: beside each other, answers in the order of plugins, failures logged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from lash_core.model.message import Message
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin.asking import ask_plugins
from lash_core.runtime.plugin.hooks import (
    BeforeTurn,
    Compaction,
    PluginCheckpoint,
    PluginHooks,
    PluginTurn,
    TurnAbort,
)
from lash_core.runtime.plugins import SessionPlugin

TURN = PluginTurn("s", "t", 0)
CHECKPOINT = PluginCheckpoint("s", "t", "after_work")


class Says(SessionPlugin):
    """Says one thing wherever it is asked."""

    def __init__(self, text: str, *, priority: int = 0, abort: str | None = None) -> None:
        self.text = text
        self.priority = priority
        self.abort = abort

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        abort = None if self.abort is None else TurnAbort(self.abort, "no")
        return BeforeTurn((Message.system(self.text),), abort)

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        return (Message.user(self.text),)

    def context_transform(self, messages: tuple[Message, ...]) -> Awaitable[tuple[Message, ...]]:
        async def add() -> tuple[Message, ...]:
            return (*messages, Message.user(self.text))

        return add()

    def compact(self, messages: tuple[Message, ...]) -> Awaitable[Compaction | None]:
        async def answer() -> Compaction | None:
            return Compaction((Message.user(self.text),)) if self.text else None

        return answer()


class Breaks(SessionPlugin):
    """Fails wherever it is asked."""

    priority = 9

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        raise LookupError("no")

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        raise LookupError("no")

    def context_transform(self, messages: tuple[Message, ...]) -> Awaitable[tuple[Message, ...]]:
        raise LookupError("no")

    def compact(self, messages: tuple[Message, ...]) -> Awaitable[Compaction | None]:
        raise LookupError("no")

    def prompt_contributions(self) -> Sequence[str]:
        raise LookupError("no")


def texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


async def test_hooks_run_beside_each_other() -> None:
    """One that waits for the other is no deadlock."""
    there = asyncio.Event()

    class Waits(SessionPlugin):
        async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
            await there.wait()
            return (Message.user("waited"),)

    class Comes(SessionPlugin):
        async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
            there.set()
            return (Message.user("came"),)

    async with asyncio.timeout(5):
        found = await PluginHooks({"a": Waits(), "b": Comes()}).checkpoint(CHECKPOINT)

    assert ["waited", "came"] == texts(found)


async def test_before_a_turn_messages_are_kept_beside_the_first_abort() -> None:
    """In the order of plugins; each message says which plugin it comes from."""
    hooks = PluginHooks({"a": Says("one"), "b": Says("two", abort="stop"), "c": Says("three", abort="me too")})
    answer = await hooks.before_turn(TURN)

    assert ["one", "two", "three"] == texts(answer.messages)
    assert ["plugin:a", "plugin:b", "plugin:c"] == [message.origin for message in answer.messages]
    assert TurnAbort("stop", "no", "b") == answer.abort


async def test_transforms_run_by_descending_priority() -> None:
    """Each takes what the one before made."""
    hooks = PluginHooks({"a": Says("low", priority=1), "b": Says("high", priority=5), "c": SessionPlugin()})

    assert ["hi", "high", "low"] == texts(await hooks.context_transforms((Message.user("hi"),)))


async def test_the_first_compactor_with_an_answer_counts() -> None:
    """By descending priority; none is no compaction."""
    hooks = PluginHooks({"a": Says("low", priority=1), "b": Says("", priority=5), "c": SessionPlugin()})
    found = await hooks.compact(())

    assert found is not None
    assert ["low"] == texts(found.messages)
    assert await PluginHooks({"c": SessionPlugin()}).compact(()) is None


async def test_a_hook_that_fails_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by the plugin's id, and the others are heard."""
    hooks = PluginHooks({"bad": Breaks(), "good": Says("here")})
    before, checkpoint = await hooks.before_turn(TURN), await hooks.checkpoint(CHECKPOINT)
    transformed, compaction = await hooks.context_transforms(()), await hooks.compact(())

    assert ["here"] == texts(before.messages) == texts(checkpoint) == texts(transformed)
    assert compaction is not None
    assert () == hooks.prompt_contributions()
    assert 5 == sum("plugin bad" in record.getMessage() for record in caplog.records)


class Confuses(SessionPlugin):
    """Answers with something else wherever it is asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        return self.answer

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        return self.answer

    def context_transform(self, messages: tuple[Message, ...]) -> Awaitable[tuple[Message, ...]]:
        async def answer() -> tuple[Message, ...]:
            return self.answer

        return answer()


@pytest.mark.parametrize("answer", ["text", 7, ("text",), BeforeTurn(("text",)), {"messages": ()}])  # type: ignore[arg-type]
async def test_an_answer_that_is_none_counts_as_silence(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; what the other plugins say stays."""
    hooks = PluginHooks({"odd": Confuses(answer), "says": Says("hello")})

    assert ["hello"] == texts((await hooks.before_turn(TURN)).messages)
    assert ["hello"] == texts(await hooks.checkpoint(CHECKPOINT))
    assert ["hello"] == texts(await hooks.context_transforms(()))
    assert 3 == len([record for record in caplog.records if "odd" in record.getMessage()])


class StandsStill(SessionPlugin):
    """Never answers; with ``stubborn`` a cancel of its task does not end it at once."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.let_go = asyncio.Event()

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        while self.stubborn and not self.let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.let_go.wait()
        await self.let_go.wait()
        return (Message.user("late"),)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_hook_is_waited_for_until_the_token_fires(stubborn: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Then it is silent like one that failed, and what the others say stays."""
    still, token = StandsStill(stubborn=stubborn), CancellationToken()
    token.cancel()
    async with asyncio.timeout(5):
        found = await PluginHooks({"still": still, "says": Says("hello")}).checkpoint(CHECKPOINT, token)
    still.let_go.set()

    assert ["hello"] == texts(found)
    assert "plugin still did not end in time in checkpoint" in caplog.text


async def test_a_hook_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to fire a token."""
    monkeypatch.setattr(ask_plugins, "__kwdefaults__", {"token": None, "within_ms": 10})
    async with asyncio.timeout(5):
        found = await PluginHooks({"still": StandsStill(), "says": Says("hello")}).checkpoint(CHECKPOINT)

    assert ["hello"] == texts(found)


async def test_a_hook_that_cancels_itself_is_a_failure_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """The turn, whose task nobody cancelled, hears nothing of it."""

    class Cancels(SessionPlugin):
        async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
            raise asyncio.CancelledError

    found = await PluginHooks({"odd": Cancels(), "says": Says("hello")}).checkpoint(CHECKPOINT)

    assert ["hello"] == texts(found)
    assert "plugin odd failed in checkpoint: it cancelled itself" in caplog.text
