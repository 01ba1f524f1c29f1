"""Starting processes over Redis (contract 2.1): alone, with a grant, or many at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from lash_core.errors import LashError, RegistrationConflictError, UnknownProcessError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.outbox_steps import (
    GrantPlace,
    OutboxEntry,
    decode_entry,
    encode_grant,
    grants_step,
    watch_step,
)
from lash_core.redis_store.process_grants import ProcessGrants
from lash_core.redis_store.row_codec import DISPOSITION_LETTERS, decode_record, decode_registration, encode_registration
from lash_core.redis_store.scripts import Call
from lash_core.store.process_batches import RegisterOutcome


@dataclass(frozen=True, slots=True)
class _Start:
    """One registration, checked and encoded. ``index``: its place among the caller's items."""

    index: int
    process_id: str
    queue: str
    hash: str
    text: str
    disposition: str
    due_ms: str
    delay_ms: str
    watch: str
    env_ref: str | None

    def args(self, queue_number: int) -> tuple[str | int, ...]:
        return (
            self.process_id,
            self.hash,
            self.text,
            self.disposition,
            queue_number,
            self.due_ms,
            self.delay_ms,
            self.watch,
        )


@dataclass(frozen=True, slots=True)
class _Grant:
    """A grant that goes with a single start."""

    scope_id: str
    text: str
    step: str


class ProcessStart(ProcessGrants):
    """``register_process`` and ``register_processes``."""

    async def register_process(
        self,
        registration: ProcessRegistration,
        *,
        grant_to: SessionScope | None = None,
        descriptor: ProcessHandleDescriptor | None = None,
    ) -> ProcessRecord:
        """Start a process, or return the existing row of equal registration hash unchanged.

        Atomic in the row's partition; the grant's other half is in place when the call returns. Safe to repeat.

        Raises:
            InvalidRegistrationError: contract 2.1's rules. RegistrationConflictError: the id has other content.
            LimitExceededError: the registration is over the payload limit.
        """
        start = self._prepare(0, registration)
        grant = None
        if grant_to is not None:
            scope = grant_to.validated()
            await self._check_session_room(scope, start.process_id)
            text = encode_grant(scope, descriptor or ProcessHandleDescriptor())
            step = grants_step(start.process_id, [GrantPlace.of(scope)])
            grant = _Grant(scope.scope_id, text, step)
        outcome = (await self._start([start], grant))[0]
        if outcome.error is not None:
            raise outcome.error
        if outcome.record is None:
            raise UnknownProcessError(start.process_id)
        return outcome.record

    async def register_processes(self, registrations: Sequence[ProcessRegistration]) -> tuple[RegisterOutcome, ...]:
        """Start many processes, one answer per item in order. Atomic per item, not over the batch. Safe to repeat."""
        answers: list[RegisterOutcome | None] = [None] * len(registrations)
        starts: list[_Start] = []
        for index, registration in enumerate(registrations):
            try:
                starts.append(self._prepare(index, registration))
            except LashError as error:
                answers[index] = RegisterOutcome(status="error", process_id=registration.id, error=error)
        for start, outcome in zip(starts, await self._start(starts, None), strict=True):
            answers[start.index] = outcome
        return tuple(answer for answer in answers if answer is not None)

    def _prepare(self, index: int, registration: ProcessRegistration) -> _Start:
        registration = registration.validated()
        limits = self._context.settings.limits
        facts = canonical_json(registration.hashed_facts(), field="registration").encode()
        if len(facts) > limits.payload_bytes_max:
            registration.check_size(limits)
        registration_hash = hashlib.sha256(facts).hexdigest()
        watch = ""
        if registration.wake_target is not None:
            watch = watch_step(registration.wake_target.session_id, registration.id, registration_hash)
        return _Start(
            index=index,
            process_id=registration.id,
            queue=registration.queue,
            hash=registration_hash,
            text=encode_registration(registration),
            disposition=DISPOSITION_LETTERS[registration.disposition],
            due_ms="" if registration.due_at_ms is None else str(registration.due_at_ms),
            delay_ms="" if registration.delay_ms is None else str(registration.delay_ms),
            watch=watch,
            env_ref=registration.env_ref,
        )

    async def _start(self, starts: Sequence[_Start], grant: _Grant | None) -> list[RegisterOutcome]:
        """Run the starts, grouped by partition; answers in the order of ``starts``."""
        calls: list[Call] = []
        groups: list[tuple[PartitionKeys, list[int]]] = []
        for keys, places in self._by_partition([start.process_id for start in starts]):
            calls.append(self._register_call(keys, [starts[place] for place in places], grant))
            groups.append((keys, places))
        await self._environments.refresh(start.env_ref for start in starts)
        replies = await self._context.scripts.run(calls, durable=True) if calls else []
        outcomes: list[RegisterOutcome | None] = [None] * len(starts)
        entries: list[OutboxEntry] = []
        existing: list[int] = []
        for (keys, places), reply in zip(groups, replies, strict=True):
            now_ms, words, ids = int(reply[0]), reply[1 : len(places) + 1], list(reply[len(places) + 1 :])
            for place, word in zip(places, words, strict=True):
                start = starts[place]
                if word == "exists":
                    existing.append(place)
                else:
                    outcomes[place] = self._outcome(start, word, now_ms)
            steps = [starts[place].watch for place, word in zip(places, words, strict=True) if word == "created"]
            steps = [step for step in steps if step] + ([grant.step] if grant is not None else [])
            entries += [
                decode_entry(keys.index, entry_id, {"o": step}, key=keys.outbox)
                for entry_id, step in zip(ids, steps, strict=False)
            ]
        if entries:
            await self.carry_out(entries)
        await self._read_existing(starts, existing, outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _register_call(self, keys: PartitionKeys, starts: Sequence[_Start], grant: _Grant | None) -> Call:
        queues = list(dict.fromkeys(start.queue for start in starts))
        numbers = {queue: number for number, queue in enumerate(queues, start=1)}
        script_keys = [keys.meta, keys.changes, keys.notices, keys.outbox, *(keys.ready(queue) for queue in queues)]
        args: list[str | int] = [len(queues), self._context.settings.limits.notices_max]
        args += ["", "", ""] if grant is None else [grant.scope_id, grant.text, grant.step]
        for start in starts:
            script_keys += [keys.registration(start.process_id), keys.control(start.process_id)]
            args += start.args(numbers[start.queue])
        if grant is not None:
            script_keys.append(keys.grant_scopes(starts[0].process_id))
        return Call("register_processes", tuple(script_keys), tuple(args))

    def _outcome(self, start: _Start, word: str, now_ms: int) -> RegisterOutcome:
        if word != "created":
            existing_hash = word.partition(" ")[2]
            error = RegistrationConflictError(start.process_id, existing_hash=existing_hash, new_hash=start.hash)
            return RegisterOutcome(status="error", process_id=start.process_id, error=error)
        keys = self._keys(start.process_id)
        text_key, control_key = keys.registration(start.process_id), keys.control(start.process_id)
        # Decoded from the stored text, so that the caller's payload and ours share no mutable part.
        registration = decode_registration(start.process_id, start.text, key=text_key)
        self._rows.remember(registration, start.hash)
        control = {"v": "1", "dg": start.hash, "ca": str(now_ms)}
        record = decode_record(start.process_id, registration, control, key=control_key)
        return RegisterOutcome(status="created", process_id=start.process_id, record=record)

    async def _read_existing(
        self, starts: Sequence[_Start], places: Sequence[int], outcomes: list[RegisterOutcome | None]
    ) -> None:
        if not places:
            return
        rows = await self._rows.read_rows([starts[place].process_id for place in places])
        for place, row in zip(places, rows, strict=True):
            process_id = starts[place].process_id
            if isinstance(row, ProcessRecord):
                outcomes[place] = RegisterOutcome(status="exists", process_id=process_id, record=row)
            else:
                error = row or UnknownProcessError(process_id)
                outcomes[place] = RegisterOutcome(status="error", process_id=process_id, error=error)
