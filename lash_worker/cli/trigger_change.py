"""``lash trigger pause``, ``resume``, ``delete`` and ``prune``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from lash_core.client_trigger_changes import TriggerReceipt
from lash_core.model.trigger import TriggerOwnerScope
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json
from lash_worker.cli.store_access import with_client
from lash_worker.cli.trigger_rows import OWNER, state_of

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


def _one_trigger(command: AnyCallable) -> AnyCallable:
    """NAME and ``--revision``."""
    revision = click.option(
        "--revision", type=click.IntRange(min=1), metavar="N", help="Refuse when it has another revision."
    )
    return click.argument("name")(revision(command))


@click.command("pause")
@_one_trigger
@json_option
@shared_options
@pass_invocation
def pause(invocation: Invocation, name: str, *, revision: int | None, as_json: bool) -> None:
    """Deliver nothing to NAME until it is resumed."""
    receipt = with_client(invocation, lambda lash: lash.triggers.pause(name, expected_revision=revision))
    _print(receipt, as_json=as_json)


@click.command("resume")
@_one_trigger
@json_option
@shared_options
@pass_invocation
def resume(invocation: Invocation, name: str, *, revision: int | None, as_json: bool) -> None:
    """Let NAME go on from now; `backfill` makes up for ticks of the pause."""
    receipt = with_client(invocation, lambda lash: lash.triggers.resume(name, expected_revision=revision))
    _print(receipt, as_json=as_json)


@click.command("delete")
@_one_trigger
@json_option
@shared_options
@pass_invocation
def delete(invocation: Invocation, name: str, *, revision: int | None, as_json: bool) -> None:
    """Delete NAME. Processes that it started go on; the name stays taken until `prune`."""
    receipt = with_client(invocation, lambda lash: lash.triggers.delete(name, expected_revision=revision))
    _print(receipt, as_json=as_json)


@click.command("prune")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("--owner", type=OWNER, default="host", show_default=True, metavar="O", help="host, platform, session:ID.")
@json_option
@shared_options
@pass_invocation
def prune(invocation: Invocation, names: tuple[str, ...], *, owner: TriggerOwnerScope, as_json: bool) -> None:
    """Forget deleted triggers. Live ones stay, and are named."""
    answer = with_client(invocation, lambda lash: lash.triggers.prune(*names, owner=owner))
    if as_json:
        print_json({"pruned": list(answer.pruned_keys), "kept": list(answer.kept_keys)})
        return
    console().print(cell(f"pruned: {', '.join(answer.pruned_keys) or 'none'}"))
    if answer.kept_keys:
        console().print(cell(f"not deleted, so kept: {', '.join(answer.kept_keys)}"))


def _print(receipt: TriggerReceipt, *, as_json: bool) -> None:
    subscription = receipt.subscription
    state = state_of(subscription)
    if as_json:
        facts = {"name": subscription.subscription_key, "state": state, "status": receipt.status}
        print_json(facts | {"revision": subscription.revision})
    else:
        console().print(cell(f"{subscription.subscription_key} is {state} ({receipt.status})"))
