"""The world outside lash: warehouse, bank and mail room, as one SQLite file that counts every call.

Nothing here knows lash. Each function takes a key; a second call with the same key changes nothing, as good services do
(``Idempotency-Key``), but it is counted all the same: so the file tells what really happened, and how often.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOCK_AT_START = 100_000

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
  seq INTEGER PRIMARY KEY, name TEXT NOT NULL, order_id TEXT NOT NULL, detail TEXT NOT NULL, pid INTEGER NOT NULL,
  at_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS ledger (
  key TEXT PRIMARY KEY, account TEXT NOT NULL, order_id TEXT NOT NULL, amount INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS invoices (order_id TEXT PRIMARY KEY, cents INTEGER NOT NULL, token TEXT NOT NULL);
"""


@contextmanager
def opened() -> Generator[sqlite3.Connection]:
    """The file, in one transaction. ``ORDERS_DB`` names it."""
    path = Path(os.environ.get("ORDERS_DB", ".lash/orders.sqlite3"))
    path.parent.mkdir(parents=True, exist_ok=True)
    # No WAL: turning it on is refused at once, without the wait of 30 s, while another worker makes the file.
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.executescript(_TABLES)
        with connection:
            yield connection
    finally:
        connection.close()


def _called(connection: sqlite3.Connection, name: str, order_id: str, detail: str = "") -> None:
    connection.execute(
        "INSERT INTO calls (name, order_id, detail, pid, at_ms) VALUES (?, ?, ?, ?, ?)",
        (name, order_id, detail, os.getpid(), time.time_ns() // 1_000_000),
    )


def _booked(connection: sqlite3.Connection, key: str, account: str, order_id: str, amount: int) -> None:
    connection.execute("INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, ?)", (key, account, order_id, amount))


def reserve(order_id: str, items: list[str], key: str) -> int:
    """Take the items off the shelf; returns how many."""
    with opened() as connection:
        _called(connection, "reserve", order_id)
        _booked(connection, key, "stock", order_id, -len(items))
    return len(items)


def release(order_id: str, count: int, key: str) -> int:
    """Put them back."""
    with opened() as connection:
        _called(connection, "release", order_id)
        _booked(connection, key, "stock", order_id, count)
    return count


def remind(order_id: str, number: int) -> int:
    """Ask the clerk again to approve."""
    with opened() as connection:
        _called(connection, "remind", order_id, str(number))
    return number


def invoice(order_id: str, cents: int, token: str) -> str:
    """Send the customer an invoice; who pays it answers with the token."""
    with opened() as connection:
        _called(connection, "invoice", order_id)
        connection.execute("INSERT OR IGNORE INTO invoices VALUES (?, ?, ?)", (order_id, cents, token))
    return f"invoice for {order_id}"


def charge(order_id: str, cents: int, key: str) -> str:
    """Book the payment; returns a receipt number."""
    with opened() as connection:
        _called(connection, "charge", order_id)
        _booked(connection, key, "money", order_id, cents)
    return f"receipt-{key[:12]}"


def pack(order_id: str, item: str) -> int:
    """Pack one item; returns its weight in grams."""
    with opened() as connection:
        _called(connection, "pack", order_id, item)
    return 100 + len(item)


def ship(order_id: str, grams: int, key: str) -> str:
    """Hand the parcel over; returns its tracking number."""
    with opened() as connection:
        _called(connection, "ship", order_id)
        _booked(connection, key, "parcels", order_id, 1)
    return f"parcel-{key[:12]}-{grams}g"


def balance(account: str) -> int:
    """What an account stands at: ``stock``, ``money`` or ``parcels``."""
    with opened() as connection:
        (booked,) = connection.execute(
            "SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE account = ?", (account,)
        ).fetchone()
    return booked + (STOCK_AT_START if account == "stock" else 0)


def booked(order_id: str) -> dict[str, int]:
    """What one order moved in each account; accounts that it left as they were are not in it."""
    query = "SELECT account, SUM(amount) FROM ledger WHERE order_id = ? GROUP BY account HAVING SUM(amount) <> 0"
    with opened() as connection:
        return dict(connection.execute(query, (order_id,)).fetchall())


def calls() -> list[tuple[int, str, str, str]]:
    """Every call in the order it came: number, name, order, detail."""
    with opened() as connection:
        return connection.execute("SELECT seq, name, order_id, detail FROM calls ORDER BY seq").fetchall()


def open_invoices() -> list[dict[str, Any]]:
    """Invoices that nobody has paid: order, cents and token."""
    query = (
        "SELECT order_id, cents, token FROM invoices WHERE order_id NOT IN "
        "(SELECT order_id FROM ledger WHERE account = 'money') ORDER BY order_id"
    )
    with opened() as connection:
        return [dict(zip(("order_id", "cents", "token"), row, strict=True)) for row in connection.execute(query)]


def main(arguments: list[str]) -> int:
    """``python -m examples.orders.shop invoices | calls | balance``."""
    match arguments:
        case ["invoices"]:
            for found in open_invoices():
                print(found["order_id"], found["cents"], found["token"])
        case ["calls", *orders]:
            for seq, name, order_id, detail in calls():
                if not orders or order_id in orders:
                    print(seq, order_id, name, detail)
        case ["balance"]:
            for account in ("stock", "money", "parcels"):
                print(account, balance(account))
        case _:
            print("usage: python -m examples.orders.shop invoices | calls [ORDER…] | balance", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
