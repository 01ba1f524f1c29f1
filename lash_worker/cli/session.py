"""``lash session``: the verbs, each in a module of its own."""

from __future__ import annotations

import click

from lash_worker.cli.lazy_group import LazyGroup

_HERE = "lash_worker.cli"

VERBS = {
    "send": (f"{_HERE}.session_send:send", "Send a session an input, and wait for its answer if asked to."),
    "ls": (f"{_HERE}.session_ls:ls", "List sessions."),
    "get": (f"{_HERE}.session_get:get", "Show one session: head, queue, lease, usage."),
    "history": (f"{_HERE}.session_history:history", "Print the messages of a session."),
    "watch": (f"{_HERE}.session_watch:watch", "Follow a session: text as it comes, tools, ends of turns."),
    "processes": (f"{_HERE}.session_processes:processes", "Show the processes of a session, newest first."),
    "tasks": (f"{_HERE}.session_tasks:tasks", "Show the background tasks of a session, newest first."),
    "park": (f"{_HERE}.session_change:park", "Wait until nobody has the session in memory."),
    "cancel-input": (f"{_HERE}.session_change:cancel_input", "Take an input back that no turn has taken in."),
    "cancel-turn": (f"{_HERE}.session_cancel_turn:cancel_turn", "Ask the turn under way to stop."),
    "delete": (f"{_HERE}.session_change:delete", "Delete a session; its processes go on and are named."),
}


@click.group("session", cls=LazyGroup, lazy=VERBS)
def session() -> None:
    """Talk to sessions and look at them. Workers whose app declares `app.sessions(...)` answer."""
