"""The outbox's wake steps, carried out: an event's wake goes into the queue of its session (hazard 3)."""

from __future__ import annotations

from lash_core.model.canonical_json import canonical_json
from lash_core.model.materialize import wake_delivery
from lash_core.model.scope import SessionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.event_codec import decode_event
from lash_core.redis_store.outbox_steps import OutboxEntry
from lash_core.redis_store.row_reader import RowReader
from lash_core.redis_store.scripts import Call

SESSION_QUEUE_MAX = 10_000
"""Deliveries that wait for one session: more than any session can work off in a day."""


class WakeDelivery:
    """Carries out ``wake`` steps. Safe to repeat."""

    def __init__(self, context: RedisContext, rows: RowReader) -> None:
        self._context = context
        self._rows = rows

    async def carry(self, entry: OutboxEntry) -> None:
        """Queue the wake; one whose session does not exist or is full is dropped, counted and audited (decision 33)."""
        process_id = str(entry.step["p"])
        target = SessionScope(session_id=entry.step["s"], agent_frame_id=entry.step.get("f"))
        text = await self._delivery(process_id, int(entry.fields["q"]), target)
        answer = "pruned"
        if text is not None:
            keys = self._context.keyspace.of_session(target.session_id)
            queue = (keys.session_head(target.session_id), keys.session_queue(target.session_id))
            answer = (await self._context.scripts.run([Call("deliver_wake", queue, (text, SESSION_QUEUE_MAX))]))[0]
        home = self._context.keyspace.partitions[entry.partition]
        if answer in ("queued", "again"):
            await self._context.connection.execute(home.outbox, "XDEL", home.outbox, entry.entry_id)
            return
        evidence = {"reason": answer, "sequence": int(entry.fields["q"]), "session_id": target.session_id}
        dropped = (home.outbox, home.control(process_id), home.audit(process_id), home.meta)
        await self._context.scripts.run([Call("drop_wake", dropped, (entry.entry_id, canonical_json(evidence)))])

    async def _delivery(self, process_id: str, sequence: int, target: SessionScope) -> str | None:
        """The delivery's JSON, made from the stored event, so that every attempt makes the same; None without a row."""
        record = await self._rows.read_one(process_id)
        key = self._rows.keys(process_id).events(process_id)
        text = (await self._context.connection.read([Command(key, ("LINDEX", key, sequence - 1))]))[0]
        if record is None or text is None:
            return None
        event = decode_event(process_id, sequence, text, record.to_registration(), key=key)
        delivery = wake_delivery(event, record, target)
        return None if delivery is None else canonical_json(delivery.to_json_value())
