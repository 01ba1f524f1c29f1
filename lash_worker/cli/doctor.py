"""``lash doctor``: is the server fit, is the fleet well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import click
from rich.text import Text

from lash_core.client import LashClient
from lash_core.errors import StoreRefusedError
from lash_core.redis_store.layout import read_layout
from lash_worker.cli.doctor_checks import DoctorFacts, Finding, examine
from lash_worker.cli.exit_codes import DONE, FAILED
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, table
from lash_worker.cli.store_access import redis_stores, with_client

_PROBES = 10

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@json_option
@shared_options
@pass_invocation
def doctor(invocation: Invocation, *, as_json: bool) -> int:
    """Check server, persistence, layout, latency, workers, queues and projectors.

    Exit code 0 when nothing failed (warnings are printed), 1 when something did, 5 when the store cannot be used.
    """
    findings = examine(with_client(invocation, _read))
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
    else:
        console().print(table(("", "check", "finding"), (_row(finding) for finding in findings)))
    return FAILED if failed else DONE


def _row(finding: Finding) -> tuple[Text, ...]:
    return cell(finding.state, _STYLES[finding.state]), cell(finding.name), cell(finding.text)


async def _probe(check_writable: Callable[[], Awaitable[float]]) -> tuple[list[float], str | None]:
    """Round trips of writes, or why the server takes none; what can be read is then still worth a report."""
    try:
        return [await check_writable() for _ in range(_PROBES)], None
    except StoreRefusedError as error:
        return [], error.message


async def _read(lash: LashClient) -> DoctorFacts:
    stores, registry = redis_stores(lash), lash.stores.process_registry
    round_trips_ms, write_fault = await _probe(registry.check_writable)
    layout, fleet, workers, projectors = await asyncio.gather(
        read_layout(stores.context.connection, stores.context.keyspace.namespace),
        registry.fleet_facts(),
        lash.stores.directory.list_workers(),
        lash.stores.directory.projectors(),
    )
    return DoctorFacts(
        report=stores.context.report,
        layout=layout,
        fleet=fleet,
        workers=workers,
        projectors={name: seen_ms for name, (_, seen_ms) in projectors.items()},
        round_trips_ms=round_trips_ms,
        write_fault=write_fault,
        own_time_ms=time.time_ns() // 1_000_000,
    )
