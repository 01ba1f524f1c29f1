"""Streams of what a turn does, and pokes of who works off a session's queue: hints, whose failures change nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lash_core.errors import LashError
from lash_core.model.fast_build import fast_build
from lash_core.model.session_observation import SessionProcessEventKind
from lash_core.model.turn_activity import TurnActivity, TurnEvent

if TYPE_CHECKING:
    from lash_core.runtime.runtime_host import QueuedWorkDriver

_log = logging.getLogger(__name__)

TurnEventSender = Callable[[TurnActivity], Awaitable[None]]
"""Takes one activity; ``asyncio.Queue.put`` is one. A full bounded queue holds the turn back."""


@runtime_checkable
class TurnFollower(Protocol):
    """A sender that keeps what it is told: it also hears when that is void, and when it is history.

    A turn that is redone tells it again what is answered from the journal; any other sender is told news only.
    """

    async def __call__(self, activity: TurnActivity) -> None:
        """Take one activity."""
        ...

    async def turn_begins(self, turn_id: str, *, generation: int, is_redo: bool) -> None:
        """A physical turn begins under a lease of this generation, 0 = under none.

        A redo: somebody began it before. What was told of it is void, and all of it is told again.
        """
        ...

    async def turn_committed(self, turn_id: str) -> None:
        """The turn is committed, and the runtime has its state: what was told of it is history."""
        ...

    async def process_changed(self, kind: SessionProcessEventKind, process_id: str) -> None:
        """The turn started or cancelled a process of its session."""
        ...


class _ActivityIds:
    """A count behind what is this process's alone."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A process that was forked has its own."""
        self.prefix = secrets.token_hex(10)
        self.numbers = itertools.count(1)


_IDS = _ActivityIds()
os.register_at_fork(after_in_child=_IDS.begin)


def new_activity_id() -> str:
    """An id that no other activity has, of whatever program: random a process, counted within. From any thread."""
    return f"{_IDS.prefix}-{next(_IDS.numbers)}"


QueuedWorkPoke = Callable[[str], Awaitable[None]]
"""Called with a session id: work waits in its queue."""


async def send_turn_activity(sender: TurnEventSender | None, correlation_id: str, event: TurnEvent) -> None:
    """Send one event; nobody has to listen, and a listener that fails is logged."""
    if sender is None:
        return
    # Unchecked: all three are ours, and a busy session has thousands a second.
    activity = fast_build(TurnActivity, {"id": new_activity_id(), "correlation_id": correlation_id, "event": event})
    try:
        await sender(activity)
    except asyncio.CancelledError:
        here = asyncio.current_task()
        if here is None or here.cancelling():
            raise
        # Nobody cancelled the turn: the listener ended itself.
        _log.warning("a turn activity found no listener: it was cancelled")
    except Exception:  # noqa: BLE001 - a listener is the host's code
        _log.exception("a turn activity found no listener")


async def tell_turn_begins(sender: TurnEventSender | None, turn_id: str, generation: int, *, is_redo: bool) -> None:
    """Tell a follower that a turn begins; a failure is logged."""
    if isinstance(sender, TurnFollower):
        try:
            await sender.turn_begins(turn_id, generation=generation, is_redo=is_redo)
        except LashError as error:
            # A store that is full or away says so in one line: the turn will meet it too.
            _log.warning("whoever watches was not told the beginning of turn %s: %s", turn_id, error)
        except Exception:  # noqa: BLE001 - a listener is the host's code
            _log.exception("the beginning of turn %s found no listener", turn_id)


async def tell_turn_committed(sender: TurnEventSender | None, turn_id: str) -> None:
    """Tell a follower that a turn is committed; a failure is logged."""
    if isinstance(sender, TurnFollower):
        try:
            await sender.turn_committed(turn_id)
        except LashError as error:
            _log.warning("whoever watches was not told the commit of turn %s: %s", turn_id, error)
        except Exception:  # noqa: BLE001 - a listener is the host's code
            _log.exception("the commit of turn %s found no listener", turn_id)


async def tell_process_changed(sender: TurnEventSender | None, kind: SessionProcessEventKind, process_id: str) -> None:
    """Tell a follower that a turn started or cancelled a process; a failure is logged."""
    if isinstance(sender, TurnFollower):
        try:
            await sender.process_changed(kind, process_id)
        except Exception:  # noqa: BLE001 - a listener is the host's code
            _log.exception("process %s was %s, and nobody heard it", process_id, kind)


async def poke_queued_work(poke: QueuedWorkPoke, session_id: str) -> None:
    """Say that a session has work; a failure is logged: the work is in its queue whatever happens here."""
    try:
        await poke(session_id)
    except Exception:  # noqa: BLE001 - the poke is the host's code
        _log.exception("session %s could not be poked", session_id)


async def poke_work_driver(driver: QueuedWorkDriver | None, session_id: str, reason: str) -> None:
    """Tell who works off queues here, if anybody does; a failure is logged, as of ``poke_queued_work``."""
    if driver is None:
        return
    try:
        await driver.poke_session(session_id, reason)
    except Exception:  # noqa: BLE001 - the driver is the host's code
        _log.exception("session %s could not be poked", session_id)
