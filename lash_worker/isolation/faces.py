"""What ``Horses`` needs of a queue and of a private server: a worker without horses imports neither RQ nor redis."""

from __future__ import annotations

from typing import Any, Protocol

from lash_worker.isolation.order import HorseOrder

RqCall = tuple[str, list[Any], dict[str, Any]]
"""Dotted path, args and kwargs of an RQ function, as an RQ job shows them."""


class Jobs(Protocol):
    """Where orders are put for the runners. Calls block for a round trip."""

    def put(self, order: HorseOrder, rq_call: RqCall | None) -> None:
        """Put a job at the end. Raises: any exception when it could not be put there."""
        ...

    def take_back(self, job_id: str) -> bool:
        """Remove a job that no runner took; False when one did. Raises: any exception."""
        ...

    def close(self) -> None:
        """Forget the queue. May be called twice."""
        ...


class Server(Protocol):
    """A private server."""

    @property
    def is_running(self) -> bool:
        """False once its process has ended. Does not block."""
        ...

    def ensure(self) -> bool:
        """Start it unless it runs; True when it was started. Blocks for the start."""
        ...

    def close(self) -> None:
        """Stop it. Blocks. May be called twice."""
        ...
