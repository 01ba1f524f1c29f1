"""The order pipeline: ``lash dev --app examples.orders.app:app``.

``fulfil`` is code that a person would write anyway. What makes it durable: each side effect is a ``ctx.step``, and what
waits, waits through ``ctx``. A worker may die at any line; the next one runs the function again, and every step that
was recorded answers at once what it answered before.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pydantic import BaseModel, Field

from examples.orders import shop
from lash_core.runtime.process.context import ProcessContext
from lash_worker import App

REMINDERS_MAX = 5
"""A clerk who does not answer that often will not answer."""

app = App("orders", version="1")


class Order(BaseModel):
    """What a customer asks for. ``remind_after_ms``: how long the clerk has before each reminder."""

    cents: int = Field(gt=0)
    items: list[str] = Field(default_factory=lambda: [f"item-{number}" for number in range(10)], max_length=100)
    remind_after_ms: int = Field(default=3_600_000, ge=1)
    pay_within_ms: int = Field(default=14 * 24 * 3_600_000, ge=1)


class Approval(BaseModel):
    """What the clerk answers."""

    by: str
    approved: bool = True


class Fulfilled(BaseModel):
    """How an order ended."""

    status: str
    reminders: int = 0
    receipt: str | None = None
    parcel: str | None = None
    grams: int = 0


@app.process("order.fulfil", disposition="rerunnable", signals={"approve": Approval}, event_types=["order.shipped"])
async def fulfil(ctx: ProcessContext, order: Order) -> Fulfilled:
    """Reserve, have it approved, have it paid, pack, ship."""
    order_id = ctx.process_id
    await ctx.step("reserve", shop.reserve, order_id, order.items, ctx.idempotency_key("reserve"))
    try:
        approval, reminders = await approved(ctx, order)
        if approval is None or not approval.approved:
            await put_back(ctx, order)
            return Fulfilled(status="rejected", reminders=reminders)
        payment = ctx.await_event("payment", timeout_ms=order.pay_within_ms)
        await ctx.step("invoice", shop.invoice, order_id, order.cents, payment.token)
        await payment
    except TimeoutError:
        await put_back(ctx, order)
        return Fulfilled(status="not paid")
    except asyncio.CancelledError:
        # Cancelled before it was paid: what was reserved goes back, and the order ends as cancelled.
        await put_back(ctx, order)
        raise
    receipt = await ctx.step("charge", shop.charge, order_id, order.cents, ctx.idempotency_key("charge"))
    children = [
        await ctx.start_child("order.pack_item", {"order_id": order_id, "item": item}, process_id=f"{order_id}/{item}")
        for item in order.items
    ]
    grams = sum(await ctx.gather(*children))
    parcel = await ctx.step("ship", shop.ship, order_id, grams, ctx.idempotency_key("ship"))
    await ctx.emit("order.shipped", {"parcel": parcel})
    return Fulfilled(status="shipped", reminders=reminders, receipt=receipt, parcel=parcel, grams=grams)


async def approved(ctx: ProcessContext, order: Order) -> tuple[Approval | None, int]:
    """Wait for the clerk and remind him; None when he never answers. Second: how many reminders it took."""
    for number in range(1, REMINDERS_MAX + 1):
        try:
            return await ctx.wait_signal("approve", timeout_ms=order.remind_after_ms), number - 1
        except TimeoutError:
            # A step in a loop has a key: the name alone would stand for the first reminder every time.
            await ctx.step("remind", shop.remind, ctx.process_id, number, key=str(number))
    return None, REMINDERS_MAX


async def put_back(ctx: ProcessContext, order: Order) -> None:
    """Undo the reservation."""
    await ctx.step("release", shop.release, ctx.process_id, len(order.items), ctx.idempotency_key("release"))


@app.process("order.pack_item", disposition="rerunnable")
async def pack_item(ctx: ProcessContext, params: dict[str, str]) -> int:
    """Pack one item of an order; returns its weight in grams."""
    return await ctx.step("pack", shop.pack, params["order_id"], params["item"])


@app.process("report.nightly", disposition="rerunnable")
async def report(ctx: ProcessContext, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Count the day and keep the report as an attachment."""

    async def written() -> dict[str, Any]:
        numbers = {account: await asyncio.to_thread(shop.balance, account) for account in ("stock", "money", "parcels")}
        data = json.dumps(numbers, indent=2).encode()
        ref = await ctx.attachments.put(data, media_type="application/json", name="report.json")
        return {"report": numbers, "attachment_id": ref.attachment_id}

    return await ctx.step("write", written)


app.trigger("nightly", "report.nightly", cron="0 2 * * *", timezone="Europe/Berlin")
