"""Children that a run starts: recorded in its journal, carried out in the child's partition (decision 25).

The parent's script writes the journal entry and an outbox step in one unit; the step registers the child and then makes
the entry final. Whoever carries a step out looks for it first: it goes with the entry's outcome, so a child that was
started, ended and pruned is never started again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lash_core.errors import (
    CorruptRecordError,
    LashError,
    OutcomeUnknownError,
    RegistrationConflictError,
    StoreRefusedError,
    StoreUnreachableError,
)
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect_record import ChildStart
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.redis_store.outbox_steps import OutboxEntry, start_step
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, still_stale
from lash_core.redis_store.process_start import ProcessStart
from lash_core.redis_store.row_codec import decode_registration, encode_registration
from lash_core.redis_store.scripts import Call

CONFLICT_CODE = "process_registration_conflict"
"""Code of a child start whose id has other content."""


@dataclass(frozen=True, slots=True)
class StartedChild:
    """How a child start was carried out: the entry's outcome."""

    failed: bool
    outcome_json: str


@dataclass(frozen=True, slots=True)
class _Step:
    """A ``start`` step, decoded."""

    entry: OutboxEntry
    parent_id: str
    field: str
    registration: ProcessRegistration
    grant_to: SessionScope | None
    descriptor: ProcessHandleDescriptor | None


class ProcessChildren(ProcessStart):
    """Carries out child starts."""

    async def child_step(self, parent_id: str, field: str, start: ChildStart) -> str:
        """Check a child start and make its outbox step.

        Raises:
            InvalidRegistrationError, LimitExceededError: nothing was written.
        """
        registration = start.registration.validated()
        limits = self._context.settings.limits
        registration.check_size(limits)
        grant = None
        if start.grant_to is not None:
            scope = start.grant_to.validated()
            await self._check_session_room(scope, registration.id)
            descriptor = start.descriptor or ProcessHandleDescriptor()
            grant = [scope.session_id, scope.agent_frame_id, descriptor.to_json_value()]
        return start_step(parent_id, field, registration.id, encode_registration(registration), grant)

    async def start_children(self, entries: Sequence[OutboxEntry]) -> dict[str, StartedChild]:
        """Carry out steps that this client's own script has just written; outbox entry id → outcome.

        Raises:
            OutcomeUnknownError: the store went away in between; the steps are recorded and will be carried out.
        """
        try:
            return await self._start_children([_decode(entry) for entry in entries], tell=False)
        except OutcomeUnknownError:
            raise
        except LashError as error:
            raise OutcomeUnknownError(
                f"the child starts are recorded; the outbox carries them out ({error.message})",
                process_id=error.process_id,
            ) from error

    async def resume_child(self, parent_id: str, entry_id: str) -> bool:
        """Carry out a step that an earlier run recorded, if it is still there; False when it was carried out.

        Raises:
            OutcomeUnknownError: as ``start_children``.
        """
        entry = await self._entry(self._keys(parent_id).index, entry_id)
        if entry is None:
            return False
        await self.start_children([entry])
        return True

    async def _carry_out(self, entry: OutboxEntry) -> bool:
        if entry.op != "start":
            return await super()._carry_out(entry)
        # Looked for again: the pages of the outbox may be old by now.
        if await self._entry(entry.partition, entry.entry_id) is not None:
            await self._start_children([_decode(entry)], tell=True)
        return True

    async def _start_children(self, steps: Sequence[_Step], *, tell: bool) -> dict[str, StartedChild]:
        plain = [step for step in steps if step.grant_to is None]
        outcomes = await self.register_processes([step.registration for step in plain])
        started: dict[str, StartedChild] = {}
        for step, outcome in zip(plain, outcomes, strict=True):
            started[step.entry.entry_id] = _outcome(step, outcome.error)
        for step in steps:
            if step.grant_to is not None:
                started[step.entry.entry_id] = _outcome(step, await self._register_with_grant(step))
        await self._finish(steps, started, tell=tell)
        return started

    async def _register_with_grant(self, step: _Step) -> LashError | None:
        try:
            await self.register_process(step.registration, grant_to=step.grant_to, descriptor=step.descriptor)
        except LashError as error:
            return error
        return None

    async def _finish(self, steps: Sequence[_Step], started: Mapping[str, StartedChild], *, tell: bool) -> None:
        """Make the parents' entries final and drop the steps."""
        for _ in range(STALE_RETRIES_MAX):
            if not steps:
                return
            calls = [await self._finish_call(step, started[step.entry.entry_id], tell=tell) for step in steps]
            words = await self._context.scripts.run(calls, durable=True)
            steps = [step for step, word in zip(steps, words, strict=True) if word == "stale"]
            for step in steps:
                self._rows.forget(step.parent_id)
        if steps:
            raise still_stale(steps[0].parent_id)

    async def _finish_call(self, step: _Step, child: StartedChild, *, tell: bool) -> Call:
        parent_id, keys = step.parent_id, self._keys(step.parent_id)
        stored = await self._rows.registration(parent_id) if tell else None
        script_keys = (
            keys.control(parent_id),
            keys.journal(parent_id),
            keys.outbox,
            keys.owners,
            keys.marks,
            keys.ready("default" if stored is None else stored.registration.queue),
            keys.notices,
        )
        args = (
            *(parent_id, "" if stored is None else stored.hash, step.field, step.entry.entry_id),
            *("f" if child.failed else "c", child.outcome_json),
            *(self._context.settings.limits.notices_max, keys.owner_channel("")),
        )
        return Call("finish_child_start", script_keys, args)


def started_outcome(child_id: str) -> str:
    """Outcome of a child start that was carried out, as JSON."""
    return canonical_json({"id": child_id})


def _decode(entry: OutboxEntry) -> _Step:
    step, grant = entry.step, entry.step["g"]
    child_id = str(step["c"])
    scope, descriptor = None, None
    if grant is not None:
        scope = SessionScope(session_id=grant[0], agent_frame_id=grant[1])
        descriptor = ProcessHandleDescriptor.model_validate(grant[2])
    registration = decode_registration(child_id, str(step["r"]), key=f"outbox entry {entry.entry_id}")
    return _Step(entry, str(step["p"]), str(step["f"]), registration, scope, descriptor)


def _outcome(step: _Step, error: LashError | None) -> StartedChild:
    """The entry's outcome. Raises: LashError, when the store gave no answer: the step stays."""
    if error is None:
        return StartedChild(failed=False, outcome_json=started_outcome(step.registration.id))
    if isinstance(error, StoreUnreachableError | StoreRefusedError | OutcomeUnknownError | CorruptRecordError):
        raise error
    code = CONFLICT_CODE if isinstance(error, RegistrationConflictError) else error.code
    return StartedChild(failed=True, outcome_json=canonical_json({"code": code, "message": error.message}))
