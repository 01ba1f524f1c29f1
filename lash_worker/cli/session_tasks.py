"""``lash session tasks``: background tasks of the session, as they are stored."""

from __future__ import annotations

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.runtime.background.task_views import SessionTasksView, SessionTaskView
from lash_core.store.background_task_store import ROWS_MAX
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import STATUS_STYLES, cell, console, print_json, table, when
from lash_worker.cli.session_views import say_what_is_left, seen_now
from lash_worker.cli.store_access import with_client

_WORDS_CHARS = 120
"""Of what a task left behind in a table: what it is about, not all of it."""


@click.command("tasks")
@click.argument("session_id", metavar="ID")
@click.option("--live", is_flag=True, help="Without those that ended.")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=20, show_default=True, help="The newest so many.")
@json_option
@shared_options
@pass_invocation
def tasks(invocation: Invocation, session_id: str, *, live: bool, limit: int, as_json: bool) -> None:
    """Show the background tasks of a session, newest first. What runs in a worker's memory alone is not among them."""

    async def work(lash: LashClient) -> tuple[SessionTasksView, int]:
        found = await lash.session(session_id).tasks(live_only=live, limit=limit)
        return await seen_now(lash, session_id, found)

    shown, now_ms = with_client(invocation, work)
    if as_json:
        print_json(shown.to_json_value())
    elif not shown.tasks:
        console().print(cell("it has no background tasks", "dim"))
    else:
        columns = ("task", "kind", "state", "work", "created", "left behind")
        console().print(table(columns, (_row(task, now_ms) for task in shown.tasks)))
        say_what_is_left(shown, len(shown.tasks))


def _row(view: SessionTaskView, now_ms: int) -> tuple[Text, ...]:
    record = view.record
    state = cell(record.state.shown, STATUS_STYLES.get(record.state.value, ""))
    if view.moving_to is not None:
        state.append_text(cell(f"\nmoves to {view.moving_to}", "dim"))
    name = Text.assemble(cell(record.id), "\n", cell(record.producer, "dim"))
    work = cell("in its worker" if view.managed else "elsewhere")
    return name, cell(record.kind.value), state, work, when(record.created_at, now_ms), _left_behind(view)


def _left_behind(view: SessionTaskView) -> Text:
    outcome = view.record.failure or view.record.result
    if outcome is None:
        return cell(None)
    words = " ".join(filter(None, (outcome.code, outcome.summary)))
    return cell(words if len(words) <= _WORDS_CHARS else words[: _WORDS_CHARS - 1] + "…")
