"""The outbox's wake steps, carried out: an event's wake becomes queued work of its session (hazard 3)."""

from __future__ import annotations

import secrets

from lash_core.model.canonical_json import canonical_json
from lash_core.model.event import ProcessWakeDelivery
from lash_core.model.materialize import wake_delivery
from lash_core.model.queued_work import process_wake_draft
from lash_core.model.scope import SessionScope
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.event_codec import decode_event
from lash_core.redis_store.leased_session import session_script_keys
from lash_core.redis_store.outbox_steps import OutboxEntry
from lash_core.redis_store.queued_work import enqueue_call
from lash_core.redis_store.queued_work_codec import encode_draft
from lash_core.redis_store.row_reader import RowReader
from lash_core.redis_store.scripts import Call

_DROPPED = {"unknown": "absent", "full": "full"}


class WakeDelivery:
    """Carries out ``wake`` steps. Safe to repeat."""

    def __init__(self, context: RedisContext, rows: RowReader) -> None:
        self._context = context
        self._rows = rows

    async def carry(self, entry: OutboxEntry) -> None:
        """Queue the wake; one whose session does not exist or is full is dropped, counted and audited (decision 33)."""
        process_id = str(entry.step["p"])
        target = SessionScope(session_id=entry.step["s"], agent_frame_id=entry.step.get("f"))
        delivery = await self._delivery(process_id, int(entry.fields["q"]), target)
        home = self._context.keyspace.partitions[entry.partition]
        answer = "pruned" if delivery is None else await self._enqueue(delivery)
        if answer not in ("absent", "full", "pruned"):
            await self._context.connection.execute(home.outbox, "XDEL", home.outbox, entry.entry_id)
            return
        evidence = {"reason": answer, "sequence": int(entry.fields["q"]), "session_id": target.session_id}
        dropped = (home.outbox, home.control(process_id), home.audit(process_id), home.meta)
        await self._context.scripts.run([Call("drop_wake", dropped, (entry.entry_id, canonical_json(evidence)))])

    async def _enqueue(self, delivery: ProcessWakeDelivery) -> str:
        """Queue the wake, once for its event; a word about it."""
        session_id = delivery.target_session_id
        draft = process_wake_draft(session_id, delivery.process_id, delivery.sequence, delivery.to_json_value())
        keys = session_script_keys(self._context.keyspace.of_session(session_id), session_id)
        call = enqueue_call(session_id, keys, encode_draft(draft, nonce=secrets.token_hex(16)))
        answer: str = (await self._context.scripts.run([call], durable=True))[0][0]
        return _DROPPED.get(answer, answer)

    async def _delivery(self, process_id: str, sequence: int, target: SessionScope) -> ProcessWakeDelivery | None:
        """The delivery, made from the stored event, so that every attempt makes the same; None without a row."""
        record = await self._rows.read_one(process_id)
        key = self._rows.keys(process_id).events(process_id)
        text = (await self._context.connection.read([Command(key, ("LINDEX", key, sequence - 1))]))[0]
        if record is None or text is None:
            return None
        event = decode_event(process_id, sequence, text, record.to_registration(), key=key)
        return wake_delivery(event, record, target)
