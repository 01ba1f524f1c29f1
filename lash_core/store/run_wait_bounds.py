"""What every store refuses of the waits of runs, and how it says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.model.await_event import AwaitEventKey

WATCHERS_MAX = 100
"""Processes that are told of one end: parents, and who else awaits it."""


def check_own_promises(process_id: str, promises: Sequence[AwaitEventKey]) -> None:
    """A run looks at promises of its own process. Raises: InvalidArgumentError."""
    for key in promises:
        if key.scope.kind != "process" or key.scope.id != process_id:
            raise InvalidArgumentError(
                f"promise of scope `{key.scope.id}` is not one of process `{process_id}`", field="promises"
            )


def too_many_watchers(process_id: str) -> LimitExceededError:
    """The refusal of one more process that waits for this one."""
    return LimitExceededError(
        f"{WATCHERS_MAX} processes wait for the end of `{process_id}`; that is the limit",
        field="watchers",
        limit=WATCHERS_MAX,
        process_id=process_id,
    )
