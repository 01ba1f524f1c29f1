"""``lash session get``: one session."""

from __future__ import annotations

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.client_session import SessionFacts
from lash_core.model.session import ChildRelation
from lash_core.model.usage import usage_report
from lash_core.why import at_text
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, facts, print_json, table, when
from lash_worker.cli.session_rows import batch_text, input_text, session_json, shortened
from lash_worker.cli.store_access import with_client


@click.command("get")
@click.argument("session_id", metavar="ID")
@json_option
@shared_options
@pass_invocation
def get(invocation: Invocation, session_id: str, *, as_json: bool) -> None:
    """Show one session: its head, queue, lease and usage."""

    async def work(lash: LashClient) -> tuple[SessionFacts, int]:
        shown = await lash.session(session_id).get()
        return shown, await lash.stores.process_registry.server_time_ms()

    shown, now_ms = with_client(invocation, work)
    if as_json:
        print_json(session_json(shown))
        return
    out = console()
    out.print(facts(_pairs(shown, now_ms)))
    rows = [
        (cell(batch.batch_id), cell(shortened(batch_text(batch)) or ", ".join(one.type for one in batch.payloads)))
        for batch in shown.queue
    ]
    rows += [
        (cell(row.input_id), cell(shortened(input_text(row.input))))
        for row in shown.inputs
        if row.state not in ("completed", "cancelled")
    ]
    if rows:
        out.print(table(("waits", "what"), rows))


def _pairs(shown: SessionFacts, now_ms: int) -> list[tuple[str, Text]]:
    meta, read, lease = shown.meta, shown.read, shown.lease
    pairs = [("id", cell(meta.session_id)), ("created", when(meta.created_at_ms, now_ms))]
    if isinstance(meta.relation, ChildRelation):
        pairs.append(("child of", cell(meta.relation.parent_session_id)))
    if read is None:
        pairs.append(("model", cell(meta.model)))
        pairs.append(("revision", cell("0 (nothing was committed yet)")))
    else:
        usage = usage_report(read.token_ledger).usage
        pairs += [
            ("model", cell(read.config.model.id)),
            ("provider", cell(read.config.provider_id)),
            ("revision", cell(read.head_revision)),
            ("turns", cell(read.checkpoint.turn_state.turn_index)),
            ("messages", cell(read.graph.read_model().message_count)),
            ("frame", cell(read.current_agent_frame_id)),
            ("tokens", cell(f"{usage.input} in, {usage.output} out, {usage.cache_read} from cache")),
        ]
    held = "nobody, and its queue waits" if shown.queue else "nobody: it is parked"
    if lease is not None:
        held = f"{lease.owner.owner_id}  fence {lease.fencing_token}, until {at_text(lease.expires_at_ms)}"
    return [*pairs, ("held by", cell(held)), ("queued", cell(len(shown.queue)))]
