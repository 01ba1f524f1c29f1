"""A ``session_turn`` process: one turn of a child session (``docs/contracts/session_fleet.md`` 6).

The child's turn has the id of the process, so a process that is run again redoes that turn from its journal, or is
answered from the turn's stamp; it never takes a second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationError

from lash_core.errors import InvalidArgumentError, LashError, NewerRecordError, PluginSessionError, RuntimeFailure
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.base import JsonValue, Model
from lash_core.model.environment import process_env_session_id, process_turn_session_id
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.ids import check_id
from lash_core.model.process_input import SessionTurnInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef
from lash_core.model.session import ChildRelation, ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn, StoppedOutcome
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation.turn_publisher import publisher_of
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.parts import ProcessParts, builder_of
from lash_core.runtime.session.lease_guard import SessionBusyError, SessionLeaseLostError
from lash_core.runtime.turns.turn_log import turn_within
from lash_core.store.runtime_persistence import RuntimePersistence

CREATE_FAILED = "process_session_create_failed"
SCOPE_FAILED = "process_session_turn_scope_failed"
TURN_FAILED = "process_session_turn_failed"
TURN_CANCELLED = "background session turn was cancelled"

BUSY_FIRST_MS = 25
BUSY_MAX_MS = 1_000
"""Between two tries for a child whose lease an earlier attempt still holds: it ends with that attempt's worker."""
VALUE_BYTES_MAX = 200 * 1024
"""A larger result goes without the turn's messages, then without what its tools said: it is in the child's history."""


class SessionTurnCreateRequest(Model):
    """The child of a ``session_turn`` process; what is left out is the parent's or the worker's.

    Attributes:
        session_id: of the child; ``process-session-turn:<process id>`` by default.
        policy: parts of a session policy; a provider or model that is left out is inherited.
        usage_source: under which the child's tokens are counted; also the process's label.
        subagent: opaque; its ``capability`` is the process's label.
    """

    session_id: str | None = None
    policy: dict[str, JsonValue] = Field(default_factory=dict)
    usage_source: str | None = None
    subagent: JsonValue = None


async def run_session_turn(
    process_input: SessionTurnInput, registration: ProcessRegistration, run: EngineRun, parts: ProcessParts
) -> AnyAwaitOutput:
    """Open the child, run its turn, close the child; safe to repeat.

    Raises:
        LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: for the worker
            to handle; the process is run again.
    """
    process_id = registration.id
    try:
        turn_input = _turn_input(process_input.turn_input)
        child = await _open_child(process_input.create_request, registration, run, parts)
    except STORE_ERRORS:
        raise
    except (LashError, ValidationError) as error:
        return ProcessAwaitOutput.failure("execution", CREATE_FAILED, f"child session: {_text(error)}")
    try:
        try:
            ExecutionScope.turn(child.session_id, process_id).validated()
        except RuntimeFailure as failure:
            return ProcessAwaitOutput.failure("execution", SCOPE_FAILED, failure.message)
        return await _turn(child, turn_input, run)
    finally:
        child.close()


async def _turn(child: LashRuntime, turn_input: TurnInput, run: EngineRun) -> AnyAwaitOutput:
    pause_ms = BUSY_FIRST_MS
    token, unlink = _token_of(run)
    sender = publisher_of(child)
    try:
        while True:
            try:
                turn = await child.stream_turn(turn_input, turn_id=run.process_id, cancellation=token, sender=sender)
            except (SessionBusyError, SessionLeaseLostError):
                # An earlier attempt of this process, most likely one whose worker is gone.
                if token.cancelled:
                    return ProcessAwaitOutput.cancelled(TURN_CANCELLED)
                await _pause(token, pause_ms)
                pause_ms = min(2 * pause_ms, BUSY_MAX_MS)
            except STORE_ERRORS:
                raise
            except LashError as error:
                if isinstance(error.__cause__, STORE_ERRORS):
                    # The turn was not committed for the store's sake: the process is tried again, and redoes it.
                    raise error.__cause__ from error
                return ProcessAwaitOutput.failure("execution", TURN_FAILED, f"child session turn: {_text(error)}")
            else:
                return _outcome(turn, run.process_id)
    finally:
        unlink()


def _token_of(run: EngineRun) -> tuple[CancellationToken, Callable[[], None]]:
    """The child's token: fired by a cancel of the process, not by the loss of its lease, which must end no turn."""
    token = CancellationToken()

    def pass_on() -> None:
        held = run.context.run_lease
        if held is None or not held.lost:
            token.cancel(run.cancellation.reason)

    return token, run.cancellation.on_cancel(pass_on)


def _outcome(turn: AssembledTurn, process_id: str) -> AnyAwaitOutput:
    if isinstance(turn.outcome, StoppedOutcome):
        if turn.outcome.reason == "cancelled":
            return ProcessAwaitOutput.cancelled(TURN_CANCELLED)
        said = [issue.message for issue in turn.errors if issue.message]
        text = f"child session turn was stopped: {turn.outcome.reason}" + (f": {said[-1]}" if said else "")
        raw = {"child_session_id": turn.session_id, "turn_id": turn.turn_id, "outcome": turn.outcome.to_json_value()}
        return ProcessAwaitOutput.failure("execution", TURN_FAILED, text, raw)
    value: dict[str, Any] = {
        "process_id": process_id,
        "child_session_id": turn.session_id,
        "turn": turn_within(turn, VALUE_BYTES_MAX).to_json_value(),
    }
    return ProcessAwaitOutput.success(value)


async def _pause(token: CancellationToken, pause_ms: int) -> None:
    try:
        async with asyncio.timeout(pause_ms / 1_000):
            await token.wait()
    except TimeoutError:
        return


# -- the child ------------------------------------------------------------------------------------------------


async def _open_child(
    asked: JsonValue, registration: ProcessRegistration, run: EngineRun, parts: ProcessParts
) -> LashRuntime:
    request = SessionTurnCreateRequest.model_validate(_known_parts(asked))
    process_id = registration.id
    session_id = check_id(
        request.session_id or process_turn_session_id(process_id), field="session_id", subject="session id"
    )
    parent_id = registration.provenance.owner_scope.session_id
    policy = await _inherited(request.policy, parent_id, parts)
    relation = ChildRelation(parent_id or process_env_session_id(process_id), caused_by=CausalRef.process(process_id))
    store = await parts.session_store_factory.create_store(
        SessionStoreCreateRequest(session_id, relation=relation, policy=policy)
    )
    await _check_ours(store, session_id, relation)
    builder = builder_of(parts, session_id, policy, store)
    child = await builder.build()
    held = run.context.run_lease
    if held is not None:
        # With what proves the death of this OS process: the next attempt need not wait for the lease to end.
        child.set_runtime_lease_owner(held.lease.owner)
    return child


def _known_parts(asked: JsonValue) -> dict[str, JsonValue]:
    if asked is None:
        return {}
    if not isinstance(asked, dict):
        raise InvalidArgumentError("a create request must be an object", field="create_request", value=str(asked)[:80])
    return asked


async def _inherited(own: dict[str, JsonValue], parent_id: str, parts: ProcessParts) -> SessionPolicy:
    """The child's policy: its own parts over the parent's stored policy, else over the worker's."""
    base = parts.session_policy
    if parent_id and not (own.get("provider_id") and own.get("model")):
        parent = await parts.session_store_factory.open_existing_store(parent_id)
        stored = None if parent is None else await parent.load_session()
        if stored is not None and stored.config.policy.is_configured:
            base = stored.config.policy
    policy = SessionPolicy.model_validate({**base.to_json_value(), **own, "session_id": None})
    if not policy.provider_id:
        policy = policy.model_copy(update={"provider_id": base.provider_id})
    if policy.model == ModelSpec():
        policy = policy.model_copy(update={"model": base.model})
    return policy


async def _check_ours(store: RuntimePersistence, session_id: str, relation: ChildRelation) -> None:
    """A session that was there before must be this process's own.

    Raises:
        PluginSessionError: ``session `<id>` already exists``.
    """
    meta = await store.load_session_meta()
    if meta is not None and meta.relation != relation:
        raise PluginSessionError(f"session `{session_id}` already exists", field="session_id", value=session_id)


def _turn_input(asked: JsonValue) -> TurnInput:
    return TurnInput.text(asked) if isinstance(asked, str) else TurnInput.model_validate(asked or {})


def _text(error: LashError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(error, NewerRecordError):
        raise error
    return str(error)
