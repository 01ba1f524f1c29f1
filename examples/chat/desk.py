"""The world outside the agent: a price list, and one SQLite file that has a line for each call.

So you can see from outside what ran, and how often: ``python -m examples.chat.desk``.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PRICES = {"mug": 900, "lamp": 4_500, "chair": 12_900}
BUSY_SECONDS = 30.0


def path() -> Path:
    """``CHAT_DESK``, else a file beside lash's own data."""
    return Path(os.environ.get("CHAT_DESK", ".lash/chat-desk.sqlite"))


@contextmanager
def _books() -> Generator[sqlite3.Connection]:
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    books = sqlite3.connect(file, timeout=BUSY_SECONDS)
    try:
        books.execute("CREATE TABLE IF NOT EXISTS calls (name TEXT, session TEXT, call TEXT, detail TEXT)")
        with books:
            yield books
    finally:
        books.close()


def note(name: str, session_id: str, call_id: str, detail: str) -> None:
    """Write down that something was called."""
    with _books() as books:
        books.execute(
            "INSERT INTO calls (name, session, call, detail) VALUES (?, ?, ?, ?)", (name, session_id, call_id, detail)
        )


def calls() -> list[tuple[str, str, str, str]]:
    """Every call in order: name, session, call id, detail."""
    with _books() as books:
        return list(books.execute("SELECT name, session, call, detail FROM calls ORDER BY rowid"))


def price_of(item: str) -> int:
    """Cents. Raises: KeyError: the shop has no such thing."""
    return PRICES[item.lower().rstrip("s")]


def stock_of(item: str) -> int:
    """How many are left; the same for an item every time."""
    return int(hashlib.sha256(item.lower().rstrip("s").encode()).hexdigest(), 16) % 50


def pack(process_id: str, item: str, count: int) -> str:
    """Pack a parcel; the number is the same however often it is packed."""
    note("pack", process_id, "pack", f"{count} x {item}")
    return "P-" + hashlib.sha256(process_id.encode()).hexdigest()[:8]


def main() -> None:
    """Print the calls."""
    for name, session, call, detail in calls():
        sys.stdout.write(f"{name:6} {detail:20} {call:24} {session}\n")


if __name__ == "__main__":
    main()
