"""Bounds of every key family (DESIGN 3.3 rule 11): a number, a unit, a reason."""

from __future__ import annotations

from pydantic import Field

from lash_core.errors import LimitExceededError
from lash_core.model.base import Model


class Limits(Model):
    """What a store refuses. Terminal events and cancel requests always fit."""

    payload_bytes_max: int = Field(default=256 * 1024, ge=1_024)
    """One payload: an event, an input, a result. Larger values belong in a blob store of the user's."""
    events_max: int = Field(default=10_000, ge=10)
    """Events of one process: a reader can still load the log at once."""
    log_bytes_max: int = Field(default=16 * 1024 * 1024, ge=64 * 1024)
    """Bytes of one process's log."""
    journal_entries_max: int = Field(default=50_000, ge=10)
    """Recorded effects of one scope: a run loads them all before its first effect, 50 000 in about 2 s."""
    journal_bytes_max: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Bytes of one process's journal, outcomes in the blob store included."""
    promises_max: int = Field(default=10_000, ge=10)
    """Await-event promises of one process, session or runtime operation: a sweep takes them all in one script."""
    batch_max: int = Field(default=200, ge=1, le=1_000)
    """Items of one script call: 200 block the server for about 0.7 ms."""
    notices_max: int = Field(default=4_096, ge=64)
    """Entries of a partition's notice stream: readers that fall behind read state instead."""
    page_max: int = Field(default=1_000, ge=1)
    """Rows of one page of a listing."""

    def check_payload_size(self, size: int, *, field: str = "payload", process_id: str | None = None) -> None:
        """Refuse a payload over the limit.

        Raises:
            LimitExceededError: naming field, size and limit.
        """
        if size > self.payload_bytes_max:
            raise LimitExceededError(
                f"{field} has {size} bytes; the limit is {self.payload_bytes_max}",
                field=field,
                value=size,
                limit=self.payload_bytes_max,
                process_id=process_id,
            )
