"""Starting processes: registration, alone or many (contract 2.1), and the external reference (2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lash_core.errors import ExternalRefConflictError, LashError, RegistrationConflictError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.grants import store_grant
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import NEVER, Row
from lash_core.memory_store.state import RegistryState
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import ProcessExternalRef, ProcessHandleDescriptor
from lash_core.model.record import ProcessRecord, new_record
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.store.process_batches import RegisterOutcome


@dataclass(frozen=True, slots=True)
class PreparedStart:
    """A checked registration with its hash, and the handle that goes with it."""

    registration: ProcessRegistration
    registration_hash: str
    grant_to: SessionScope | None
    descriptor: ProcessHandleDescriptor


def prepare_start(
    state: RegistryState,
    registration: ProcessRegistration,
    grant_to: SessionScope | None,
    descriptor: ProcessHandleDescriptor | None,
) -> PreparedStart:
    """Check a start before the lock is taken.

    Raises:
        InvalidRegistrationError, InvalidJsonError, LimitExceededError.
    """
    registration = registration.validated()
    registration.check_size(state.limits)
    scope = grant_to.validated() if grant_to is not None else None
    state.refresh_environment(registration.env_ref)
    return PreparedStart(registration, registration.registration_hash, scope, descriptor or ProcessHandleDescriptor())


def start_row(state: RegistryState, start: PreparedStart) -> tuple[Row, bool]:
    """Insert the row with its grant, or find the one of equal hash; True when it is new. Called under the lock.

    Raises:
        RegistrationConflictError: the id has other content; nothing was written.
    """
    registration = start.registration
    row = state.rows.get(registration.id)
    created = row is None
    if row is None:
        row = _insert(state, registration.model_copy(deep=True), start.registration_hash)
    elif row.record.registration_hash != start.registration_hash:
        raise RegistrationConflictError(
            registration.id, existing_hash=row.record.registration_hash, new_hash=start.registration_hash
        )
    if start.grant_to is not None:
        store_grant(state, start.grant_to, registration.id, start.descriptor)
    return row, created


def _insert(state: RegistryState, registration: ProcessRegistration, registration_hash: str) -> Row:
    now_ms = state.clock.now_ms()
    row = Row(record=new_record(registration, registration_hash, now_ms))
    state.rows[registration.id] = row
    state.touch(row)
    due_ms = now_ms if row.record.due_at_ms is None else row.record.due_at_ms
    external = registration.disposition is RecoveryDisposition.EXTERNALLY_OWNED
    state.schedule(row, NEVER if external else due_ms)
    return row


class StartOperations(RegistryPart):
    """``register_process``, ``register_processes``, ``set_external_ref``."""

    async def register_process(
        self,
        registration: ProcessRegistration,
        *,
        grant_to: SessionScope | None = None,
        descriptor: ProcessHandleDescriptor | None = None,
    ) -> ProcessRecord:
        """Insert the row, or return the existing one of equal hash unchanged."""
        record, _ = self._register(registration, grant_to, descriptor)
        return record

    async def register_processes(self, registrations: Sequence[ProcessRegistration]) -> tuple[RegisterOutcome, ...]:
        """Start many, one answer per item."""
        return tuple(self._register_item(registration) for registration in registrations)

    def _register_item(self, registration: ProcessRegistration) -> RegisterOutcome:
        try:
            record, created = self._register(registration, None, None)
        except LashError as error:
            return RegisterOutcome(status="error", process_id=registration.id, error=error)
        return RegisterOutcome(status="created" if created else "exists", process_id=record.id, record=record)

    def _register(
        self,
        registration: ProcessRegistration,
        grant_to: SessionScope | None,
        descriptor: ProcessHandleDescriptor | None,
    ) -> tuple[ProcessRecord, bool]:
        start = prepare_start(self._state, registration, grant_to, descriptor)
        with self._state.lock:
            row, created = start_row(self._state, start)
            return detached_record(row.record), created

    async def set_external_ref(self, process_id: str, external_ref: ProcessExternalRef) -> ProcessRecord:
        """Name the process in another system; the first assignment sticks."""
        external_ref = external_ref.validated(self._state.limits)
        with self._state.lock:
            row = self._state.require(process_id)
            if row.record.external_ref is None:
                self._state.touch(row, external_ref=external_ref, updated_at_ms=self._state.clock.now_ms())
            elif not row.record.external_ref.same_as(external_ref):
                raise ExternalRefConflictError(process_id)
            return detached_record(row.record)
