"""``lash process result``: the outcome of one process."""

from __future__ import annotations

import json

import click

from lash_core.client import LashClient
from lash_core.model.await_output import AnyAwaitOutput, CancelledOutput, FailureOutput, Success
from lash_worker.cli.exit_codes import DONE, FAILED
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import print_json, safe
from lash_worker.cli.store_access import with_client


@click.command("result")
@click.argument("process_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the process has ended.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait; without it --wait waits for ever.")
@json_option
@shared_options
@pass_invocation
def result(invocation: Invocation, process_id: str, *, as_json: bool, wait: bool, timeout: float | None) -> int:
    """Print the outcome. Exit code 0 success, 1 failed, cancelled or abandoned, 7 not there yet."""

    async def work(lash: LashClient) -> AnyAwaitOutput:
        return await lash.handle(process_id).output(timeout if wait or timeout is not None else 0)

    output = with_client(invocation, work)
    if as_json:
        print_json(output.to_json_value())
    elif isinstance(output, Success):
        click.echo(json.dumps(output.value, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{output.state}: {_text(output)}", err=True)
    return DONE if isinstance(output, Success) else FAILED


def _text(output: AnyAwaitOutput) -> str:
    if isinstance(output, FailureOutput):
        return safe(f"{output.class_.value} / {output.code}: {output.message}")
    if isinstance(output, CancelledOutput):
        return safe(output.message or "no reason given")
    return (
        safe(json.dumps(output.to_json_value()["evidence"], ensure_ascii=False))
        if not isinstance(output, Success)
        else ""
    )
