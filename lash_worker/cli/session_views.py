"""What the views of a session's processes and of its tasks share: a session that is not there, and older rows."""

from __future__ import annotations

from typing import Protocol, TypeVar

from lash_core.client import LashClient
from lash_core.errors import UnknownSessionError
from lash_worker.cli.output import cell, console


class Counted(Protocol):
    """A view that knows how many rows there are."""

    @property
    def total(self) -> int:
        """All of them, shown or not."""
        ...


V = TypeVar("V", bound=Counted)


async def seen_now(lash: LashClient, session_id: str, view: V) -> tuple[V, int]:
    """The view and the server's time. Raises: UnknownSessionError: it is empty, for there is no such session."""
    if not view.total and not await lash.session(session_id).exists():
        raise UnknownSessionError(session_id)
    return view, await lash.stores.process_registry.server_time_ms()


def say_what_is_left(view: Counted, shown: int) -> None:
    """How many older rows there are, where not all are shown."""
    if view.total > shown:
        console().print(cell(f"{view.total - shown} older ones are not shown; see --limit", "dim"))
