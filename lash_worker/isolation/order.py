"""What is told to a work-horse, and what comes back: JSON in both directions, never pickle."""

from __future__ import annotations

import hashlib
import signal
from typing import Any

from pydantic import Field

from lash_core.model.base import JsonValue, Model

RESULT_BYTES_MAX = 256 * 1024
"""An outcome over this is refused in the horse already: the default payload limit of the store."""

ORDER_META = "lash"
"""Key of the order in an RQ job's meta: beside it the job's function may keep meta of its own."""


class HorseOrder(Model):
    """One run for one horse.

    Attributes:
        job_id: of the RQ job; another one for each attempt.
        app: import path of the app, as in ``reports:app``; the runner takes only apps it was started with.
        kind: of the process; the app says which function that is, never this order.
        params: input of the process.
        process_id: for the context, as are the facts below.
        attempt: from 1.
        fence: of the lease that the worker holds.
        owner: id of the worker.
        labels: kind, queue and label.
        app_version: version of the app as the worker knows it.
        timeout_ms: the process's own time; RQ ends a horse whose worker is too frozen to do it.
        record_tracebacks: put the traceback of an exception into ``raw``.
    """

    job_id: str
    app: str
    kind: str
    process_id: str
    params: JsonValue = None
    attempt: int = 1
    fence: int = 0
    owner: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    app_version: str | None = None
    timeout_ms: int | None = None
    record_tracebacks: bool = False


class HorseEnd(Model):
    """How a horse ended.

    Attributes:
        outcome: the outcome of the process as the horse wrote it; None when it died before it could.
        stopped: the function ended because it was told to (SIGTERM), with CancelledError.
        exit_code: of the OS process; None when a signal ended it, or nobody could say.
        signal: number of that signal, or None.
        detail: what else is known, for people.
        max_rss_kb: peak memory of the horse, 0 when unknown.
    """

    outcome: dict[str, Any] | None = None
    stopped: bool = False
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    max_rss_kb: int = 0

    @property
    def text(self) -> str:
        """How it ended, for people."""
        if self.signal is not None:
            hint = " (by hand, or by the kernel when memory ran out)" if self.signal == signal.SIGKILL else ""
            return f"was ended by {signal_name(self.signal)}{hint}"
        if self.exit_code is not None:
            return f"ended with exit code {self.exit_code} and without an outcome"
        return self.detail or "is gone"

    @property
    def evidence(self) -> dict[str, Any]:
        """The same for ``raw``."""
        named = None if self.signal is None else signal_name(self.signal)
        facts = {"exit_code": self.exit_code, "signal": named, "max_rss_kb": self.max_rss_kb or None}
        return facts | ({"detail": self.detail} if self.detail else {})


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def job_id_of(process_id: str, fence: int, nonce: str) -> str:
    """A legal RQ job id (letters, digits and dashes) that says whose it is and is new for each attempt."""
    digest = hashlib.sha256(process_id.encode()).hexdigest()[:20]
    return f"{digest}-{fence}-{nonce}"
