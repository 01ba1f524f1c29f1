"""Why an input may wait: said to whoever sends one, and to whoever waited in vain."""

from __future__ import annotations

from typing import Any

from lash_core.client import LashClient
from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.model.manifest import WorkerEntry


async def missing_worker(lash: LashClient, session_id: str | None = None) -> str | None:
    """What the fleet lacks for inputs to be answered; None when nothing is known to be missing.

    Args:
        lash: asks the fleet.
        session_id: a session whose model provider is looked for too, once its first commit says which one it is.
    """
    try:
        workers = [worker.facts["sessions"] for worker in await _workers(lash) if worker.facts.get("sessions")]
        if not workers:
            return (
                "no worker that is up runs sessions (lash worker run --app MODULE:ATTR, with app.sessions(...) in it)"
            )
        read = None if session_id is None else await lash.session(session_id).load()
    except (LashError, OutcomeUnknownError):
        # Only a hint: what is wrong with the store, the command itself says.
        return None
    wanted = "" if read is None else read.config.provider_id
    there = {name for facts in workers for name in _providers(facts)}
    if not wanted or wanted in there:
        return None
    return f"no worker that is up has its model provider `{wanted}` (there: {', '.join(sorted(there)) or 'none'})"


async def _workers(lash: LashClient) -> tuple[WorkerEntry, ...]:
    return await lash.stores.directory.list_workers()


def _providers(facts: Any) -> tuple[str, ...]:
    return tuple(facts.get("providers") or ()) if isinstance(facts, dict) else ()
