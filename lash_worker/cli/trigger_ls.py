"""``lash trigger ls``, ``get`` and ``failed``."""

from __future__ import annotations

import click

from lash_core.client import LashClient
from lash_core.model.trigger import TriggerOwnerScope
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, facts, print_json, table
from lash_worker.cli.store_access import with_client
from lash_worker.cli.trigger_rows import OWNER, delivery_json, trigger_facts, trigger_json, triggers_table


@click.command("ls")
@click.option("--owner", type=OWNER, metavar="O", help="Only those of host, platform (apps) or session:ID.")
@click.option("--deleted", is_flag=True, help="Deleted ones too.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="Triggers of one page.")
@click.option("--cursor", metavar="C", help="Go on after a page: its next_cursor.")
@json_option
@shared_options
@pass_invocation
def ls(
    invocation: Invocation,
    *,
    owner: TriggerOwnerScope | None,
    deleted: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List triggers, in no stated order."""

    async def work(lash: LashClient) -> None:
        page = await lash.triggers.list(owner=owner, include_deleted=deleted, limit=limit, cursor=cursor)
        store = lash.stores.triggers
        ticks = await store.schedule_due_ms([item.subscription_id for item in page.items])
        if as_json:
            items = [trigger_json(item, tick) for item, tick in zip(page.items, ticks, strict=True)]
            print_json({"items": items, "next_cursor": page.next_cursor})
            return
        if not page.items:
            console().print(cell("no trigger is there; `lash trigger create` makes one", "dim"))
            return
        _, now_ms = await store.next_schedule_ms()
        console().print(triggers_table(page.items, ticks, now_ms))
        if page.next_cursor is not None:
            console().print(cell(f"more: --cursor '{page.next_cursor}'", "dim"))

    with_client(invocation, work)


@click.command("get")
@click.argument("name")
@json_option
@shared_options
@pass_invocation
def get(invocation: Invocation, name: str, *, as_json: bool) -> None:
    """Show one trigger, by its name or its id."""

    async def work(lash: LashClient) -> None:
        view = await lash.triggers.get(name)
        if as_json:
            print_json(trigger_json(view.subscription, view.next_tick_ms))
            return
        _, now_ms = await lash.stores.triggers.next_schedule_ms()
        console().print(facts(trigger_facts(view.subscription, view.next_tick_ms, now_ms)))

    with_client(invocation, work)


@click.command("failed")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Deliveries at most.")
@json_option
@shared_options
@pass_invocation
def failed(invocation: Invocation, *, limit: int, as_json: bool) -> None:
    """List deliveries that were given up. To try again, emit with the same --key once the cause is mended."""
    found = with_client(invocation, lambda lash: lash.stores.triggers.failed_deliveries(limit))
    if as_json:
        print_json({"items": [delivery_json(one) for one in found]})
        return
    if not found:
        console().print(cell("no delivery has failed", "dim"))
        return
    rows = (
        (
            cell(None if one.subscription is None else one.subscription.subscription_key),
            cell(one.reason),
            cell(one.occurrence_id),
        )
        for one in found
    )
    console().print(table(("trigger", "reason", "occurrence"), rows))
