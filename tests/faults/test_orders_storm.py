"""The order pipeline of the examples under kill -9, parking at every wait; counted from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.orders import shop
from examples.orders.app import Order
from examples.orders.storm import CENTS, count_from_outside, storm

pytestmark = pytest.mark.faults


@pytest.mark.timeout(150)
async def test_a_short_storm_leaves_everything_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Approved, refused and cancelled orders with their children, timers, signals and payments; four workers die."""
    monkeypatch.setenv("ORDERS_DB", "set by the storm")

    outcome = await storm(
        orders=10, kills=4, workers=3, concurrency=8, seed=20_251_121, seconds_max=90, folder=tmp_path
    )

    assert [] == outcome.wrong, f"{outcome}\n{_logs(tmp_path)}"
    assert {"shipped": 8, "rejected": 1, "cancelled": 1} == outcome.ends
    assert outcome.kills >= 1


def _logs(folder: Path) -> str:
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2_000:]}" for log in folder.glob("*.log"))


def one_order(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """An order that was shipped as it should be."""
    monkeypatch.setenv("ORDERS_DB", str(folder / "orders.sqlite3"))
    items = Order(cents=CENTS).items
    shop.reserve("order-0", items, "k1")
    shop.invoice("order-0", CENTS, "token")
    shop.charge("order-0", CENTS, "k2")
    for item in items:
        shop.pack("order-0", item)
    shop.ship("order-0", 1_000, "k3")


def test_an_order_in_order_is_found_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is wrong with it."""
    one_order(monkeypatch, tmp_path)

    assert [] == count_from_outside({"order-0": "shipped"}, 0, 8).wrong


def test_what_a_storm_must_not_do_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A recorded step that ran again, money booked twice, more repeats than kills explain."""
    one_order(monkeypatch, tmp_path)
    shop.reserve("order-0", ["x"], "k1")
    shop.charge("order-0", CENTS, "another key")

    wrong = "\n".join(count_from_outside({"order-0": "shipped"}, 0, 8).wrong)

    assert "reserve ran again" in wrong
    assert f"money is {2 * CENTS}" in wrong
    assert "2 calls were repeated by 0 kills" in wrong


def test_an_order_that_was_cancelled_must_have_put_everything_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else its end is a lie."""
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "orders.sqlite3"))
    shop.reserve("order-0", ["a"], "k1")

    wrong = "\n".join(count_from_outside({"order-0": "cancelled"}, 0, 8).wrong)

    assert "no release" in wrong
    assert "order-0: it moved {'stock': -1}" in wrong
