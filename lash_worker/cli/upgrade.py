"""``lash upgrade``: let records of this release be written, once nobody is left who could not read them."""

from __future__ import annotations

import re

import click

from lash_core.client import LashClient
from lash_core.errors import NotDoneError
from lash_core.model.manifest import WorkerEntry
from lash_core.redis_store.keys import layout_key
from lash_core.redis_store.layout import WRITE_VERSION
from lash_core.redis_store.scripts import Call
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import print_json
from lash_worker.cli.store_access import redis_stores, with_client
from lash_worker.release import release


class OlderWorkersError(NotDoneError):
    """Live workers of an older release could not read what would be written."""

    code = "older_workers"


@click.command("upgrade")
@json_option
@shared_options
@pass_invocation
def upgrade(invocation: Invocation, *, as_json: bool) -> None:
    """Raise the version of written records to this release's. Refused while an older worker lives; safe to repeat."""
    status = with_client(invocation, _upgrade)
    if as_json:
        print_json({"status": status, "write_version": WRITE_VERSION})
    else:
        word = "now written" if status == "raised" else "already written"
        click.echo(f"records of version {WRITE_VERSION} are {word}")


async def _upgrade(lash: LashClient) -> str:
    old = older_workers(await lash.stores.directory.list_workers(), release())
    if old:
        names = ", ".join(f"{entry.worker_id} (lash {entry.lash_version or 'unknown'})" for entry in old)
        raise OlderWorkersError(f"live workers of an older release: {names}; replace them first", field="workers")
    context = redis_stores(lash).context
    call = Call("raise_write_version", (layout_key(context.keyspace.namespace),), (WRITE_VERSION,))
    return str((await context.scripts.run([call]))[0])


def older_workers(workers: tuple[WorkerEntry, ...], own: str) -> list[WorkerEntry]:
    """Workers of a release before ``own``; one that does not tell its release counts as older."""
    return [entry for entry in workers if _numbers(entry.lash_version) < _numbers(own)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
