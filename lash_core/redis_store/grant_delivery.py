"""The outbox's grant steps, carried out: the session side of grants follows the process side (DESIGN 3.5).

``T:g`` of the process is the truth. Who writes ``T:sg`` compares it with ``T:g`` afterwards and leaves its outbox entry
when they differ, so of two racing deliveries the last writer has always compared. Steps that begin at a session
(transfer, deletion) change ``T:g`` once per request id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lash_core.errors import OutcomeUnknownError
from lash_core.model.canonical_json import canonical_json
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import TriggerKeys
from lash_core.redis_store.outbox_steps import GrantPlace, OutboxEntry
from lash_core.redis_store.scripts import Call

ROUNDS_MAX = 8
"""Rounds of write and compare: each further one needs another writer of the same grant in between."""

WAKES = "wakes"
"""Stands for a scope id in ``forget`` steps: the session's note that a row wakes it. No scope id looks like it."""


class ProcessAfterDeletion:
    """What a session deletion left of one process."""

    def __init__(self) -> None:
        self.status = ""
        self.remaining = 0
        self.revoked = 0


class GrantDelivery:
    """Carries out ``grants``, ``prune``, ``transfer``, ``forget``, ``watch`` steps. All are safe to repeat."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._keyspace = context.keyspace

    async def follow(
        self,
        process_id: str,
        places: Sequence[GrantPlace],
        *,
        entry_id: str | None = None,
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Make ``T:sg`` at these places equal to ``T:g`` of the process.

        Args:
            process_id: the process.
            places: the grants in question.
            entry_id: the entry of the process's outbox to drop at the end.
            known: scope id → what ``T:g`` holds ('' = nothing), when the caller has just written it.

        Raises:
            OutcomeUnknownError: other writers kept changing the same grant; the outbox entry stays.
        """
        keys = self._keyspace.of_process(process_id)
        grants = keys.grant_scopes(process_id)
        for _ in range(ROUNDS_MAX):
            held = known if known is not None else await self._held(process_id, places)
            known = None
            await self._write(process_id, places, held)
            pairs = [part for place in places for part in (place.scope_id, held[place.scope_id])]
            call = Call("finish_grants", (grants, keys.outbox), (entry_id or "0-0", *pairs))
            if (await self._context.scripts.run([call]))[0] == "done":
                return
        raise OutcomeUnknownError(
            f"the grants of process `{process_id}` keep changing; the outbox finishes them", process_id=process_id
        )

    async def carry_grants(self, entry: OutboxEntry) -> None:
        """A ``grants`` step."""
        places = [GrantPlace(scope_id, session_id) for scope_id, session_id in entry.step["s"]]
        await self.follow(entry.step["p"], places, entry_id=entry.entry_id)

    async def carry_prune(self, entry: OutboxEntry) -> None:
        """A ``prune`` step: the row is gone, so are its grants; a new life of the id keeps its own."""
        process_id = str(entry.step["p"])
        session_id = entry.step.get("s")
        if session_id is not None:
            key = self._keyspace.of_session(session_id).session_wakes(session_id)
            args = (process_id, str(entry.step["h"]))
            await self._context.scripts.run([Call("unwatch_row", (key,), args)])
        delivery = entry.step.get("d")
        if delivery is not None:
            keys = TriggerKeys.of(self._keyspace.namespace).of_occurrences
            await self._context.scripts.run([Call("drop_deliveries", keys, (str(delivery),))])
        places = [GrantPlace(scope_id, json.loads(grant)["s"]) for scope_id, grant in entry.numbered()]
        if places:
            await self.follow(process_id, places)

    async def carry_watch(self, entry: OutboxEntry) -> None:
        """A ``watch`` step."""
        session_id = str(entry.step["s"])
        key = self._keyspace.of_session(session_id).session_wakes(session_id)
        args = (str(entry.step["p"]), str(entry.step["h"]))
        await self._context.scripts.run([Call("watch_row", (key,), args)])

    async def carry_transfer(self, entry: OutboxEntry) -> None:
        """A ``transfer`` step: each process's side once, then the sessions follow."""
        step = entry.step
        source, target = GrantPlace(step["f"], step["fs"]), GrantPlace(step["t"], step["ts"])
        moves: list[Call] = []
        process_ids: list[str] = []
        for process_id, grant in entry.numbered():
            keys = self._keyspace.of_process(process_id)
            moved = canonical_json({"d": json.loads(grant)["d"], "s": target.session_id})
            moves.append(
                Call(
                    "move_grant",
                    (keys.control(process_id), keys.grant_scopes(process_id)),
                    (step["i"], source.scope_id, target.scope_id, moved),
                )
            )
            process_ids.append(process_id)
        await self._context.scripts.run(moves)
        places = [target] if source == target else [target, source]
        for process_id in process_ids:
            await self.follow(process_id, places)

    async def carry_forget(self, entry: OutboxEntry, left: dict[str, ProcessAfterDeletion] | None = None) -> None:
        """A ``forget`` step.

        Args:
            entry: the step.
            left: filled with process id → what is left of it, for the deletion's report.
        """
        scopes: dict[str, list[str]] = {}
        wakes: dict[str, str] = {}
        for name, value in entry.numbered():
            scope_id, _, process_id = name.rpartition("\n")
            if scope_id == WAKES:
                wakes[process_id] = value
            else:
                scopes.setdefault(process_id, []).append(scope_id)
        process_ids = sorted({*scopes, *wakes})
        part = f"{entry.step['i']}.{entry.entry_id}"
        calls: list[Call] = []
        for process_id in process_ids:
            keys = self._keyspace.of_process(process_id)
            calls.append(
                Call(
                    "forget_session",
                    (keys.control(process_id), keys.grant_scopes(process_id), keys.changes, keys.meta),
                    (process_id, part, wakes.get(process_id, ""), *scopes.get(process_id, ())),
                )
            )
        replies = await self._context.scripts.run(calls)
        session_id = str(entry.step["s"])
        receipt = self._keyspace.of_session(session_id).session_grants(session_id)
        await self._context.connection.execute(receipt, "HDEL", receipt, "gone")
        if left is not None:
            for process_id, reply in zip(process_ids, replies, strict=True):
                if process_id in scopes:
                    after = left.setdefault(process_id, ProcessAfterDeletion())
                    if reply[0] != "gone":
                        after.status, after.remaining = reply[1], int(reply[2])
                        after.revoked += int(reply[3])

    async def _held(self, process_id: str, places: Sequence[GrantPlace]) -> dict[str, str]:
        key = self._keyspace.of_process(process_id).grant_scopes(process_id)
        scope_ids = [place.scope_id for place in places]
        values = (await self._context.connection.read([Command(key, ("HMGET", key, *scope_ids))]))[0]
        return {scope_id: value or "" for scope_id, value in zip(scope_ids, values, strict=True)}

    async def _write(self, process_id: str, places: Sequence[GrantPlace], held: Mapping[str, str]) -> None:
        by_session: dict[str, list[str]] = {}
        for place in places:
            pair = (f"{place.scope_id}\n{process_id}", held[place.scope_id])
            by_session.setdefault(place.session_id, []).extend(pair)
        calls: list[Call] = []
        for session_id, pairs in by_session.items():
            key = self._keyspace.of_session(session_id).session_grants(session_id)
            calls.append(Call("put_session_grants", (key,), tuple(pairs)))
        await self._context.scripts.run(calls)
