"""What an isolated function is given as ``ctx``: facts, a log, the stop flag; nothing that needs the worker's loop."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import MutableMapping
from typing import Any, NoReturn

from lash_worker.isolation.order import HorseOrder

STOP_REASON = "stopped by the worker"

_log = logging.getLogger("lash.process")


class NotInHorseError(AttributeError):
    """A verb of ``ProcessContext`` that needs the worker's loop was used in a work-horse."""


class StopFlag:
    """Set by SIGTERM, which the worker sends for a cancel, a timeout, a lost lease and a drain.

    The signal raises ``CancelledError`` once, at whatever line the function is, so that ``finally`` blocks run; what
    does not end is killed.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._interrupts = False

    def __enter__(self) -> StopFlag:
        """From here on the signal interrupts."""
        self._interrupts = True
        if self.is_set:
            raise asyncio.CancelledError(STOP_REASON)
        return self

    def __exit__(self, *_: object) -> None:
        self._interrupts = False

    def on_signal(self, number: int, frame: object) -> None:
        """The handler of SIGTERM."""
        del number, frame
        if self.is_set:
            return
        self.is_set = True
        if self._interrupts:
            raise asyncio.CancelledError(STOP_REASON)


class _RunLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the run's facts to the ``extra`` of a call, as in a run of the worker's own."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class HorseContext:
    """One run as an isolated function sees it; the names are those of ``ProcessContext``."""

    def __init__(self, order: HorseOrder, stop: StopFlag) -> None:
        self._order = order
        self._stop = stop

    @property
    def process_id(self) -> str:
        """The process."""
        return self._order.process_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._order.attempt

    @property
    def fence(self) -> int:
        """A number that only rises over all attempts at this id, for systems that refuse stale writers."""
        return self._order.fence

    @property
    def cancelled(self) -> bool:
        """True once the run is to end."""
        return self._stop.is_set

    @property
    def reason(self) -> str | None:
        """Why, as far as a horse knows."""
        return STOP_REASON if self._stop.is_set else None

    @property
    def labels(self) -> dict[str, str]:
        """Kind, queue and label of the process."""
        return dict(self._order.labels)

    @property
    def app_version(self) -> str | None:
        """Version of the app that runs this."""
        return self._order.app_version

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``process_id``, ``fence`` and ``owner``."""
        order = self._order
        return _RunLog(_log, {"process_id": order.process_id, "fence": order.fence, "owner": order.owner})

    def idempotency_key(self, name: str) -> str:
        """A key that is the same in every attempt: 64 hex digits of SHA-256 over ``<process id>:<name>``."""
        return hashlib.sha256(f"{self.process_id}:{name}".encode()).hexdigest()

    def raise_if_cancelled(self) -> None:
        """End the function as cancelled if it is to end. Raises: asyncio.CancelledError."""
        if self._stop.is_set:
            raise asyncio.CancelledError(STOP_REASON)

    def __getattr__(self, name: str) -> NoReturn:
        raise NotInHorseError(
            f"ctx.{name} is not available in a work-horse: it needs the worker's loop and lease. An isolated function "
            "computes and returns; steps, waits, children and events belong into a process without isolation, which "
            "may start this one as its child"
        )

    def __repr__(self) -> str:
        return f"HorseContext(process_id={self.process_id!r}, attempt={self.attempt})"
