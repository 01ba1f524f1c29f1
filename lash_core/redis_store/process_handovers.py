"""Segment handovers over Redis (contract 2.10): bounded continuations of an engine, the newest two kept."""

from __future__ import annotations

import base64
import binascii
import json

from lash_core.errors import CorruptRecordError, HandoverConflictError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.lease import ProcessLease
from lash_core.model.reports import ProcessSegmentHandover
from lash_core.redis_store.commands import Command
from lash_core.redis_store.process_facts import ProcessFacts
from lash_core.redis_store.row_reader import as_mapping


class ProcessHandovers(ProcessFacts):
    """Handovers are neither events nor in the change feed."""

    async def put_handover(
        self, process_id: str, handover: ProcessSegmentHandover, *, lease: ProcessLease | None = None
    ) -> None:
        """Store a continuation; the newest two ordinals are kept; identical data again changes nothing.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError. HandoverConflictError: the ordinal has other data.
            LimitExceededError: the engine's state is over the payload limit.
        """
        limits = self._context.settings.limits
        limits.check_payload_size(len(handover.engine_state), field="engine_state", process_id=process_id)
        keys = self._keys(process_id)
        script_keys = (keys.control(process_id), keys.owners, keys.leases, keys.handovers(process_id))
        args = (str(handover.ordinal), _encode(handover))
        if await self._write_fenced("put_handover", script_keys, process_id, lease, *args) == "conflict":
            raise HandoverConflictError(process_id, handover.ordinal)

    async def get_handover(self, process_id: str, ordinal: int) -> ProcessSegmentHandover | None:
        """The continuation at an ordinal. Raises: CorruptRecordError."""
        key = self._keys(process_id).handovers(process_id)
        text = (await self._context.connection.read([Command(key, ("HGET", key, ordinal))]))[0]
        return None if text is None else _decode(process_id, ordinal, text, key=key)

    async def latest_handover(self, process_id: str) -> ProcessSegmentHandover | None:
        """The continuation of the highest ordinal. Raises: CorruptRecordError."""
        key = self._keys(process_id).handovers(process_id)
        texts = as_mapping((await self._context.connection.read([Command(key, ("HGETALL", key))]))[0])
        if not texts:
            return None
        ordinal = max(texts, key=int)
        return _decode(process_id, int(ordinal), texts[ordinal], key=key)

    async def delete_handovers(self, process_id: str) -> None:
        """Drop all continuations of a process. Safe to repeat."""
        key = self._keys(process_id).handovers(process_id)
        await self._context.connection.execute(key, "DEL", key)


def _encode(handover: ProcessSegmentHandover) -> str:
    stored = {"r": handover.reason, "s": base64.b64encode(handover.engine_state).decode()}
    if handover.program_hash is not None:
        stored["h"] = handover.program_hash
    return canonical_json(stored, field="handover")


def _decode(process_id: str, ordinal: int, text: str, *, key: str) -> ProcessSegmentHandover:
    try:
        stored = json.loads(text)
        return ProcessSegmentHandover(
            ordinal=ordinal,
            reason=stored["r"],
            program_hash=stored.get("h"),
            engine_state=base64.b64decode(stored["s"], validate=True),
        )
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise CorruptRecordError(f"{key} has an unreadable handover", key=key, process_id=process_id) from error
