"""``lash process enqueue``: start one process, or one per line of a file."""

from __future__ import annotations

from typing import IO, Any

import click
from rich.progress import Progress

from lash_core.client import EnqueuedItem, LashClient
from lash_core.client_enqueue import EnqueueOptions, new_process_id
from lash_core.errors import InvalidArgumentError
from lash_core.model.registration import ProcessRegistration
from lash_core.why import at_text
from lash_worker.cli.apps import DeclaredApps, load_apps
from lash_worker.cli.exit_codes import error_facts, exit_code
from lash_worker.cli.invocation import Invocation, app_option, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, facts, json_cell, print_json
from lash_worker.cli.parameters import DURATION, JSON, MOMENT, parse_json
from lash_worker.cli.store_access import with_client

_BULK_ITEMS = 2_000
"""Lines of one bulk call: progress moves several times a second, memory stays small."""

_ERRORS_SHOWN = 10


@click.command("enqueue")
@click.argument("kind")
@click.option("--id", "process_id", metavar="ID", help="Id; the same id with the same content is the same process.")
@click.option("--payload", type=JSON, metavar="JSON", help="Params as JSON.")
@click.option(
    "--payload-file", type=click.File("r", encoding="utf-8"), metavar="F", help="Params from a file, - = stdin."
)
@click.option(
    "--jsonl",
    type=click.File("r", encoding="utf-8"),
    metavar="F",
    help='One process a line: {"id": …, "payload": …}, id optional.',
)
@click.option("--queue", metavar="Q", help="Another queue than the kind's.")
@click.option("--label", metavar="TEXT", help="Text for lists.")
@click.option("--at", "at_ms", type=MOMENT, metavar="T", help="Due then: RFC 3339 or ms since the epoch.")
@click.option("--delay", "delay_ms", type=DURATION, metavar="D", help="Due that long from now: 90s, 10m, 7d.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds to run."
)
@click.option("--disposition", metavar="D", help="rerunnable, owner_bound or externally_owned, for an unknown kind.")
@click.option("--dry-run", is_flag=True, help="Check and print what would be sent; write nothing.")
@json_option
@app_option
@shared_options
@pass_invocation
def enqueue(invocation: Invocation, kind: str, *, as_json: bool, dry_run: bool, **given: Any) -> int:
    """Start a process of KIND. Safe to repeat with --id."""
    sources = [name for name in ("payload", "payload_file", "jsonl") if given[name] is not None]
    if len(sources) > 1:
        raise click.UsageError(
            f"--{sources[0].replace('_', '-')} and --{sources[1].replace('_', '-')} exclude each other"
        )
    if given["jsonl"] is not None and (given["process_id"] is not None or dry_run):
        raise click.UsageError("--jsonl goes neither with --id nor with --dry-run")
    if given["at_ms"] is not None and given["delay_ms"] is not None:
        raise click.UsageError("--at and --delay exclude each other")
    options = _options(given)
    app = DeclaredApps(load_apps(invocation))
    if given["jsonl"] is not None:
        ids, payloads = _read_lines(given["jsonl"])
        return with_client(invocation, lambda lash: _bulk(lash, kind, ids, payloads, options, as_json), app=app)
    payload = given["payload"] if given["payload_file"] is None else _read_payload(given["payload_file"])
    process_id = given["process_id"]
    if dry_run:
        registration = with_client(
            invocation, lambda lash: lash.prepare(kind, payload, process_id=process_id, **options), app=app
        )
        _print_plan(registration, as_json=as_json)
        return 0
    handle = with_client(
        invocation, lambda lash: lash.enqueue(kind, payload, process_id=process_id, **options), app=app
    )
    status = "created" if handle.created else "exists"
    if as_json:
        print_json({"id": handle.process_id, "status": status})
    else:
        console().print(cell(f"{status} {handle.process_id}"))
    return 0


def _options(given: dict[str, Any]) -> EnqueueOptions:
    timeout_s = given["timeout_s"]
    return {
        "queue": given["queue"],
        "label": given["label"],
        "at_ms": given["at_ms"],
        "delay_ms": given["delay_ms"],
        "timeout_ms": None if timeout_s is None else max(1, round(timeout_s * 1_000)),
        "disposition": given["disposition"],
    }


def _read_payload(file: IO[str]) -> Any:
    try:
        return parse_json(file.read())
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{file.name}: not JSON: {error}", field="payload_file", value=file.name) from error


def _read_lines(file: IO[str]) -> tuple[list[str | None], list[Any]]:
    ids: list[str | None] = []
    payloads: list[Any] = []
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            item = parse_json(line)
        except ValueError as error:
            raise _bad_line(file.name, number, f"not JSON: {error}") from error
        if not isinstance(item, dict) or not item.keys() <= {"id", "payload"}:
            raise _bad_line(file.name, number, 'must be an object with "payload" and maybe "id"')
        if not isinstance(item.get("id"), str | None):
            raise _bad_line(file.name, number, "id must be a string")
        ids.append(item.get("id"))
        payloads.append(item.get("payload"))
    return ids, payloads


def _bad_line(name: str, number: int, text: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} line {number}: {text}", field="jsonl", value=number)


async def _bulk(
    lash: LashClient,
    kind: str,
    ids: list[str | None],
    payloads: list[Any],
    options: EnqueueOptions,
    as_json: bool,  # noqa: FBT001 - a flag of the command line, passed on
) -> int:
    """Enqueue in parts with a progress bar on stderr; exit code of the first error, if any."""
    counts = {"created": 0, "exists": 0, "error": 0}
    errors: list[EnqueuedItem] = []
    with Progress(console=console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("enqueue", total=len(payloads))
        for start in range(0, len(payloads), _BULK_ITEMS):
            part = payloads[start : start + _BULK_ITEMS]
            part_ids = [given or new_process_id() for given in ids[start : start + _BULK_ITEMS]]
            for item in await lash.enqueue_many(kind, part, part_ids, **options):
                counts[item.status] += 1
                if item.error is not None:
                    errors.append(item)
                if as_json:
                    _print_item(item)
            progress.advance(task, len(part))
    if not as_json:
        console().print(", ".join(f"{count} {name}" for name, count in counts.items()))
        for item in errors[:_ERRORS_SHOWN]:
            console(stderr=True).print(cell(f"{item.process_id}: {item.error}"))
    return (exit_code(errors[0].error) or 1) if errors and errors[0].error is not None else 0


def _print_item(item: EnqueuedItem) -> None:
    line: dict[str, Any] = {"id": item.process_id, "status": item.status}
    if item.error is not None:
        line["error"] = error_facts(item.error)
    print_json(line)


def _print_plan(registration: ProcessRegistration, *, as_json: bool) -> None:
    if as_json:
        plan = registration.model_dump(mode="json", by_alias=True)
        print_json({"id": registration.id, "status": "dry_run", "registration": plan})
        return
    rows = [
        ("id", cell(registration.id)),
        ("kind", cell(registration.resolved_identity.kind)),
        ("label", cell(registration.resolved_identity.label)),
        ("queue", cell(registration.queue)),
        ("disposition", cell(registration.disposition.value)),
        ("due", cell(None if registration.due_at_ms is None else at_text(registration.due_at_ms))),
        ("delay_ms", cell(registration.delay_ms)),
        ("timeout_ms", cell(registration.timeout_ms)),
        ("input", json_cell(registration.input.to_json_value())),
        ("hash", cell(registration.registration_hash)),
    ]
    console().print(facts(rows))
    console().print(cell("nothing was written (--dry-run)", "dim"))
