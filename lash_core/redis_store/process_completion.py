"""Terminal writes over Redis: by authority, or fenced together with the release (contract 2.7, decision 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lash_core.errors import (
    AlreadyTerminalError,
    CompletionAuthorityError,
    LashError,
    LeaseLostError,
    ReplayKeyConflictError,
    UnknownProcessError,
)
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput
from lash_core.model.canonical_json import canonical_json
from lash_core.model.completion import POISON_CODE, check_authority, terminal_append
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import CompletionAuthority
from lash_core.redis_store.event_writer import EncodedEnding
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import fence_argument
from lash_core.redis_store.outbox_steps import OutboxEntry, told_entry
from lash_core.redis_store.process_base import lease_answer
from lash_core.redis_store.process_events import ProcessEvents
from lash_core.redis_store.row_codec import STATUS_LETTERS, encode_first_started
from lash_core.redis_store.scripts import Call
from lash_core.store.process_batches import BatchOutcome, LeasedCompletion


@dataclass(frozen=True, slots=True)
class _Ending:
    """One completion, encoded. ``acknowledged``: fenced writes seen accepted under its lease."""

    lease: ProcessLease
    event: EncodedEnding
    acknowledged: int
    args: tuple[str | int, ...]


class ProcessCompletion(ProcessEvents):
    """``complete_process``, ``complete_process_with_lease`` and its batch form."""

    async def complete_process(
        self, process_id: str, output: AnyAwaitOutput, authority: CompletionAuthority
    ) -> ProcessRecord:
        """Write the terminal event without a lease, by authority, which is checked in the same unit.

        A held lease stays until it expires. Safe to repeat with the same output and authority.

        Raises:
            UnknownProcessError, ReplayKeyConflictError, CompletionAuthorityError, AlreadyTerminalError.
        """

        def refusal(registration: ProcessRegistration) -> LashError | None:
            try:
                check_authority(process_id, registration.disposition, authority, output)
            except CompletionAuthorityError as error:
                return error
            return None

        await self._append(process_id, [terminal_append(process_id, output, authority)], None, refusal)
        return await self._completed_row(process_id)

    async def complete_process_with_lease(
        self, lease: ProcessLease, output: AnyAwaitOutput, *, first_started: ProcessStarted | None = None
    ) -> ProcessRecord:
        """Write the terminal event and release the lease in one fenced unit. Safe to repeat.

        Order of checks: replay, lease, terminal. ``first_started`` is recorded with it when the row has none.

        Raises:
            UnknownProcessError, ReplayKeyConflictError, LeaseLostError, StoreBehindError, AlreadyTerminalError.
        """
        outcome = (await self.complete_processes_with_lease([LeasedCompletion(lease, output, first_started)]))[0]
        if outcome.error is not None:
            raise outcome.error
        return await self._completed_row(lease.process_id)

    async def complete_processes_with_lease(self, completions: Sequence[LeasedCompletion]) -> tuple[BatchOutcome, ...]:
        """Complete many, one answer per item in order, one script call a partition. Atomic per item; safe to repeat."""
        outcomes: list[BatchOutcome | None] = [None] * len(completions)
        endings: list[_Ending] = []
        places: list[int] = []
        for place, completion in enumerate(completions):
            try:
                endings.append(self._ending(completion))
                places.append(place)
            except LashError as error:
                outcomes[place] = BatchOutcome(completion.lease.process_id, error)
        groups = self._by_partition([ending.lease.process_id for ending in endings])
        calls = [self._complete_call(keys, [endings[index] for index in group]) for keys, group in groups]
        replies = await self._context.scripts.run(calls, durable=True) if calls else []
        told: list[OutboxEntry] = []
        for (keys, group), words in zip(groups, replies, strict=True):
            for index, reply in zip(group, words, strict=True):
                ending = endings[index]
                word, _, detail = str(reply).partition(" ")
                if word == "ok" and detail:
                    entry_id, _, watchers = detail.partition(" ")
                    told.append(told_entry(keys.index, entry_id, ending.lease.process_id, watchers))
                error = _answer(ending, word, detail)
                if error is None:
                    self._writes.forget(ending.lease)
                outcomes[places[index]] = BatchOutcome(ending.lease.process_id, error)
        if told:
            # The ends are stored, and who is told of them too: where a watcher's partition is away the outbox tells it.
            await self.carry_out(told, required=False)
        return tuple(outcome for outcome in outcomes if outcome is not None)

    def _ending(self, completion: LeasedCompletion) -> _Ending:
        lease, output = completion.lease, completion.output
        event = EncodedEnding.of(lease.process_id, output)
        self._context.settings.limits.check_payload_size(event.payload_bytes, process_id=lease.process_id)
        acknowledged = self._writes.acknowledged(lease)
        started: list[str] = []
        if completion.first_started is not None:
            for name, value in encode_first_started(completion.first_started).items():
                started += [name, value]
        args = (
            lease.process_id,
            fence_argument(lease),
            lease.lease_token,
            acknowledged,
            event.field,
            event.body,
            STATUS_LETTERS[output.state],
            _audit_of(output),
            len(started) // 2,
            *started,
        )
        return _Ending(lease, event, acknowledged, args)

    def _complete_call(self, keys: PartitionKeys, endings: Sequence[_Ending]) -> Call:
        script_keys = [keys.owners, keys.leases, keys.marks, keys.meta, keys.changes, keys.notices, keys.outbox]
        args: list[str | int] = [self._context.settings.limits.notices_max, keys.done_channel("")]
        for ending in endings:
            process_id = ending.lease.process_id
            script_keys += [keys.control(process_id), keys.events(process_id), keys.audit(process_id)]
            args += ending.args
        return Call("complete_processes_with_lease", tuple(script_keys), tuple(args))

    async def _completed_row(self, process_id: str) -> ProcessRecord:
        record = await self._rows.read_one(process_id)
        if record is None:
            raise UnknownProcessError(process_id)
        return record


def _audit_of(output: AnyAwaitOutput) -> str:
    """What the audit list notes about an ending: ``poison``, the evidence of an abandonment, or nothing."""
    if output.state == "abandoned":
        return canonical_json(output.evidence.to_json_value())
    if isinstance(output, FailureOutput) and output.code == POISON_CODE:
        return "poison"
    return ""


def _answer(ending: _Ending, word: str, detail: str) -> LashError | None:
    process_id = ending.lease.process_id
    match word:
        case "ok" | "stored":
            return None
        case "conflict":
            return ReplayKeyConflictError(process_id, ending.event.replay_key)
        case "terminal":
            return AlreadyTerminalError(process_id)
        case _:
            error = lease_answer(process_id, word, detail, acknowledged=ending.acknowledged)
            return error or LeaseLostError(process_id, word)
