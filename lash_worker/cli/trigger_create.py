"""``lash trigger create`` and ``update``."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, TypeVar

import click

from lash_core.client import LashClient
from lash_core.client_trigger_changes import TriggerReceipt
from lash_core.client_trigger_options import TriggerOptions
from lash_core.errors import InvalidArgumentError
from lash_worker.cli.apps import DeclaredApps, load_apps
from lash_worker.cli.invocation import Invocation, app_option, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.parameters import DURATION, JSON, parse_json
from lash_worker.cli.store_access import with_client
from lash_worker.cli.trigger_rows import OWNER, source_of

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

_DEFINITION = (
    click.option("--kind", required=True, metavar="K", help="What its processes are."),
    click.option("--cron", metavar="EXPR", help='Five fields, as in "0 3 * * *", or @hourly … @yearly.'),
    click.option("--every", "interval_ms", type=DURATION, metavar="D", help="An interval: 30s, 10m, 1d."),
    click.option("--source", metavar="TYPE:KEY", help="Occurrences of a source, which `lash trigger emit` names."),
    click.option("--timezone", metavar="TZ", help="Where the cron is read: Europe/Berlin. UTC by default."),
    click.option("--params", type=JSON, metavar="JSON", help='Params; {"$payload": "/a"} is a part of the payload.'),
    click.option(
        "--params-file", type=click.File("r", encoding="utf-8"), metavar="F", help="Params from a file, - = stdin."
    ),
    click.option("--missed", type=click.Choice(("skip", "all")), help="Ticks nobody was there for: newest, or all."),
    click.option(
        "--missed-within", "missed_within_ms", type=DURATION, metavar="D", help="Drop ticks later than this: 1d."
    ),
    click.option("--label", metavar="TEXT", help="Label of the processes; the trigger's name by default."),
    click.option("--queue", metavar="Q", help="Another queue than the kind's."),
    click.option("--delay", "delay_ms", type=DURATION, metavar="D", help="Due that long after the start."),
    click.option(
        "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds to run."
    ),
    click.option("--disposition", metavar="D", help="For an unknown kind, as in lash enqueue."),
)


def _definition_options(command: AnyCallable) -> AnyCallable:
    for option in reversed(_DEFINITION):
        command = option(command)
    return command


@click.command("create")
@click.argument("name")
@_definition_options
@click.option("--owner", type=OWNER, default="host", show_default=True, metavar="O", help="host or session:ID.")
@json_option
@app_option
@shared_options
@pass_invocation
def create(invocation: Invocation, name: str, *, as_json: bool, owner: Any, **given: Any) -> None:
    """Make the trigger NAME. Safe to repeat; another definition under the name is a conflict."""
    kind, params, options = given["kind"], _params(given), _options(given)

    async def work(lash: LashClient) -> TriggerReceipt:
        return await lash.triggers.create(name, kind, params, owner=owner, **options)

    _print(with_client(invocation, work, app=DeclaredApps(load_apps(invocation))), as_json=as_json)


@click.command("update")
@click.argument("name")
@_definition_options
@click.option("--revision", type=click.IntRange(min=1), metavar="N", help="Refuse when it has another revision.")
@json_option
@app_option
@shared_options
@pass_invocation
def update(invocation: Invocation, name: str, *, as_json: bool, revision: int | None, **given: Any) -> None:
    """Replace the whole definition of NAME (or of a subscription id); a deleted one begins a new life."""
    kind, params, options = given["kind"], _params(given), _options(given)

    async def work(lash: LashClient) -> TriggerReceipt:
        return await lash.triggers.update(name, kind, params, expected_revision=revision, **options)

    _print(with_client(invocation, work, app=DeclaredApps(load_apps(invocation))), as_json=as_json)


def _params(given: dict[str, Any]) -> Any:
    file: IO[str] | None = given["params_file"]
    if file is None:
        return given["params"]
    if given["params"] is not None:
        raise click.UsageError("--params and --params-file exclude each other")
    try:
        return parse_json(file.read())
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{file.name}: not JSON: {error}", field="params_file", value=file.name) from error


def _options(given: dict[str, Any]) -> TriggerOptions:
    timeout_s = given["timeout_s"]
    return {
        "cron": given["cron"],
        "interval_ms": given["interval_ms"],
        "source": given["source"],
        "timezone": given["timezone"],
        "missed": given["missed"],
        "missed_within_ms": given["missed_within_ms"],
        "label": given["label"],
        "queue": given["queue"],
        "delay_ms": given["delay_ms"],
        "timeout_ms": None if timeout_s is None else max(1, round(timeout_s * 1_000)),
        "disposition": given["disposition"],
    }


def _print(receipt: TriggerReceipt, *, as_json: bool) -> None:
    subscription = receipt.subscription
    if as_json:
        print_json(
            {
                "name": subscription.subscription_key,
                "id": subscription.subscription_id,
                "status": receipt.status,
                "revision": subscription.revision,
            }
        )
    else:
        text = f"{receipt.status} {subscription.subscription_key}: {source_of(subscription)}"
        console().print(cell(f"{text} starts {subscription.definition.target.kind}"))
