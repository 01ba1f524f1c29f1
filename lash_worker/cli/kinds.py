"""``lash kinds``: the manifests that workers published."""

from __future__ import annotations

import click

from lash_worker.cli.exit_codes import NotFoundError
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, table
from lash_worker.cli.store_access import with_client


@click.group("kinds")
def kinds() -> None:
    """List and remove kind manifests. They outlive the worker that published them."""


@kinds.command("ls")
@json_option
@shared_options
@pass_invocation
def ls(invocation: Invocation, *, as_json: bool) -> None:
    """List kinds."""
    found = with_client(invocation, lambda lash: lash.stores.directory.list_kinds())
    if as_json:
        print_json({"items": [manifest.model_dump(mode="json", by_alias=True) for manifest in found]})
        return
    if not found:
        console().print(cell("no kind is known; a worker publishes its app's kinds when it starts", "dim"))
        return
    rows = (
        (
            cell(manifest.kind),
            cell(manifest.disposition.value),
            cell(manifest.queue),
            cell(", ".join(sorted(manifest.signals))),
            cell(manifest.app),
            cell(manifest.app_version),
            cell(manifest.version_pin),
        )
        for manifest in found
    )
    console().print(table(("kind", "disposition", "queue", "signals", "app", "version", "pin"), rows))


@kinds.command("rm")
@click.argument("kind")
@json_option
@shared_options
@pass_invocation
def rm(invocation: Invocation, kind: str, *, as_json: bool) -> None:
    """Remove a manifest. A worker that still has the kind publishes it again when it starts."""
    if not with_client(invocation, lambda lash: lash.stores.directory.remove_kind(kind)):
        raise NotFoundError(f"no manifest of kind `{kind}`", field="kind", value=kind)
    print_json({"kind": kind, "status": "removed"}) if as_json else click.echo(f"removed: {kind}")
