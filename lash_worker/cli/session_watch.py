"""``lash session watch``: follow a session in the terminal."""

from __future__ import annotations

from contextlib import aclosing

import click

from lash_core.client import LashClient
from lash_core.client_patience import patiently
from lash_core.client_session import SessionHandle
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_observation import SessionGap, SessionObservation, SessionObservationEvent, WatchItem
from lash_core.runtime.observation.watch_json import WatchJson
from lash_core.runtime.turns.turn_messages import messages_of_delivery
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import console
from lash_worker.cli.reader_gone import while_read
from lash_worker.cli.store_access import with_client
from lash_worker.cli.watch_text import WatchText, batches_taken_in

HISTORY_SHOWN = 2
"""Messages before the watch began: as a rule the last question and its answer."""


@click.command("watch")
@click.argument("session_id", metavar="ID")
@click.option("--cursor", metavar="C", help="Go on behind this cursor, of a line that --json printed before.")
@click.option("--once", is_flag=True, help="Print where the session stands, and end.")
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=HISTORY_SHOWN,
    show_default=True,
    metavar="N",
    help="Show the newest N messages first.",
)
@json_option
@shared_options
@pass_invocation
def watch(
    invocation: Invocation, session_id: str, *, cursor: str | None, once: bool, history: int, as_json: bool
) -> None:
    """Follow session ID: text as it comes, tools, ends of turns, until Ctrl-C or until it is deleted.

    With --json one event a line, as a browser gets them; each has the cursor to go on from.
    """
    if once and cursor is not None:
        raise click.UsageError("--once says where the session stands now; it takes no --cursor")

    async def work(lash: LashClient) -> None:
        handle = lash.session(session_id)
        shows: _Json | _People = _Json(handle) if as_json else _People(handle, history)
        if once:
            await shows.take(await handle.observation())
            return
        async with aclosing(handle.watch(cursor)) as items:
            async for item in items:
                await shows.take(item)

    with_client(invocation, lambda lash: while_read(work(lash)))


async def queue_of(handle: SessionHandle) -> tuple[QueuedWorkBatch, ...]:
    """The session's queue; a store that is away is waited for, as the watch itself does."""
    return await patiently("the watch", handle.queue)


class _Json:
    """Lines for programs."""

    def __init__(self, handle: SessionHandle) -> None:
        self._handle = handle
        self._lines = WatchJson()

    async def take(self, item: WatchItem) -> None:
        queued: tuple[QueuedWorkBatch, ...] = ()
        if not isinstance(item, SessionObservationEvent):
            queued = await queue_of(self._handle)
        click.echo(self._lines.line(item, queued).data)


class _People:
    """Text for people."""

    def __init__(self, handle: SessionHandle, history: int) -> None:
        self._handle = handle
        self._text = WatchText(console(), history=history)

    async def take(self, item: WatchItem) -> None:
        match item:
            case SessionObservation():
                self._text.begin(item)
            case SessionGap():
                self._text.gap(item)
                self._text.waiting(len(await queue_of(self._handle)))
            case SessionObservationEvent():
                taken = batches_taken_in(item)
                if taken:
                    # What they say is in the queue until the turn's commit.
                    queued = {batch.batch_id: batch for batch in await queue_of(self._handle)}
                    given = [queued[batch_id] for batch_id in taken if batch_id in queued]
                    self._text.inputs(messages_of_delivery((), given))
                self._text.event(item)
