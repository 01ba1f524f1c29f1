"""Queued work of a session (``docs/contracts/sessions.md`` 1.10, 2.4; decisions 1, 2, 19-22). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue, Model
from lash_core.model.turn_input import TurnInput


class DeliveryPolicy(StrEnum):
    """When work may reach the model: at a checkpoint of the running turn, or only after that turn's commit."""

    EARLIEST_SAFE_BOUNDARY = "earliest_safe_boundary"
    AFTER_CURRENT_TURN_COMMIT = "after_current_turn_commit"


class SlotPolicy(StrEnum):
    """Whether adjacent work may share a turn."""

    JOIN = "join"
    EXCLUSIVE = "exclusive"


class MergeKey(Model):
    """Joinable rows join when their keys are equal (decision 21): two ``never`` join each other as well."""

    type: Literal["never", "payload_default", "group"] = Field(default="never", kw_only=False)
    group: str | None = Field(default=None, kw_only=False)

    @classmethod
    def of_group(cls, group: str) -> MergeKey:
        """Rows of one named group."""
        return cls("group", group)


class ClaimBoundary(StrEnum):
    """Where a claim is made: at a checkpoint of a running turn, or between turns."""

    ACTIVE_TURN_CHECKPOINT = "active_turn_checkpoint"
    IDLE = "idle"


class TurnInputPayload(Model):
    """A user's input."""

    type: Literal["turn_input"] = "turn_input"
    input: TurnInput = Field(kw_only=False)


class ProcessWakePayload(Model):
    """An event of a process that wakes the session; ``delivery`` is the wake's JSON (``model/wake_draft.py``)."""

    type: Literal["process_wake"] = "process_wake"
    delivery: JsonValue = Field(default=None, kw_only=False)


class HostEventPayload(Model):
    """Something the host tells the agent."""

    type: Literal["host_event"] = "host_event"
    name: str = Field(kw_only=False)
    body: JsonValue = Field(default=None, kw_only=False)


class TimerPayload(Model):
    """A time has come."""

    type: Literal["timer"] = "timer"
    name: str = Field(kw_only=False)
    body: JsonValue = Field(default=None, kw_only=False)


class AgentFrameTaskPayload(Model):
    """The task that a frame switch hands to the new frame."""

    type: Literal["agent_frame_task"] = "agent_frame_task"
    frame_id: str
    task: JsonValue = None
    protocol_turn_options: JsonValue = None


class SessionCommandPayload(Model):
    """Something the session does without a model: refresh the tool catalog, or begin anew."""

    type: Literal["session_command"] = "session_command"
    command: Literal["refresh_tool_catalog", "reset_session"]
    reason: str = ""


QueuedPayload = Annotated[
    TurnInputPayload
    | ProcessWakePayload
    | HostEventPayload
    | TimerPayload
    | AgentFrameTaskPayload
    | SessionCommandPayload,
    Field(discriminator="type"),
]


class WorkClass(StrEnum):
    """Commands run without a model; turn work starts or joins a turn."""

    SESSION_COMMAND = "session_command"
    TURN_WORK = "turn_work"


# The contract spells two fields of drafts and batches shorter than the operation that takes them.
_DELIVERY = AliasChoices("delivery_policy", "delivery")
_SLOT = AliasChoices("slot_policy", "slot")


class _Policies(Model):
    """What a draft and its batch have in common, under both names."""

    @property
    def delivery(self) -> DeliveryPolicy:
        """``delivery_policy``."""
        return self.__dict__["delivery_policy"]

    @property
    def slot(self) -> SlotPolicy:
        """``slot_policy``."""
        return self.__dict__["slot_policy"]


class QueuedWorkDraft(_Policies):
    """Work to enqueue. With a ``source_key`` it is safe to repeat: the first batch of a key is answered, for good.

    Raises:
        InvalidArgumentError: no payload, or commands mixed with turn work.
    """

    session_id: str
    delivery_policy: DeliveryPolicy = Field(default=DeliveryPolicy.EARLIEST_SAFE_BOUNDARY, validation_alias=_DELIVERY)
    slot_policy: SlotPolicy = Field(default=SlotPolicy.JOIN, validation_alias=_SLOT)
    payloads: tuple[QueuedPayload, ...]
    merge_key: MergeKey = Field(default_factory=MergeKey)
    available_at_ms: int = Field(default=0, ge=0)
    source_key: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        work_class_of(self.payloads)
        return self

    @property
    def work_class(self) -> WorkClass:
        """What kind of work it is."""
        return work_class_of(self.payloads)


class QueuedWorkItem(Model):
    """One payload of a batch."""

    item_id: str
    payload: QueuedPayload


class QueuedWorkBatch(_Policies):
    """Work in the queue. ``enqueue_seq`` only rises in a session."""

    batch_id: str
    session_id: str
    enqueue_seq: int
    source_key: str | None = None
    delivery_policy: DeliveryPolicy = Field(validation_alias=_DELIVERY)
    slot_policy: SlotPolicy = Field(validation_alias=_SLOT)
    merge_key: MergeKey
    available_at_ms: int
    enqueued_at_ms: int
    items: tuple[QueuedWorkItem, ...]

    @property
    def payloads(self) -> tuple[QueuedPayload, ...]:
        """What it carries."""
        return tuple(item.payload for item in self.items)

    @property
    def work_class(self) -> WorkClass:
        """What kind of work it is."""
        return work_class_of(self.payloads)


class QueuedWorkCompletion(Model):
    """Settles batches of a claim within a commit."""

    session_id: str
    claim_id: str
    lease_token: str
    batch_ids: tuple[str, ...]


class QueuedWorkClaim(Model):
    """Batches taken under one lease generation. ``claim_id`` is ``qwc:<seq of the first>:<fencing token>``."""

    session_id: str
    claim_id: str
    owner: JsonValue = None
    lease_token: str
    fencing_token: int
    session_lease_generation: int
    batches: tuple[QueuedWorkBatch, ...]

    @property
    def completion(self) -> QueuedWorkCompletion:
        """What a commit names to settle it."""
        return QueuedWorkCompletion(
            session_id=self.session_id,
            claim_id=self.claim_id,
            lease_token=self.lease_token,
            batch_ids=tuple(batch.batch_id for batch in self.batches),
        )


def work_class_of(payloads: tuple[QueuedPayload, ...]) -> WorkClass:
    """The class that all payloads share.

    Raises:
        InvalidArgumentError: there is no payload, or the classes are mixed.
    """
    classes = {
        WorkClass.SESSION_COMMAND if isinstance(payload, SessionCommandPayload) else WorkClass.TURN_WORK
        for payload in payloads
    }
    if len(classes) != 1:
        text = "a batch of queued work needs a payload" if not classes else "a batch mixes commands with turn work"
        raise InvalidArgumentError(text, field="payloads", value=[payload.type for payload in payloads])
    return classes.pop()


def process_wake_draft(session_id: str, process_id: str, sequence: int, delivery: JsonValue) -> QueuedWorkDraft:
    """The draft of a process's wake: exclusive, at the earliest boundary, once per event."""
    return QueuedWorkDraft(
        session_id=session_id,
        delivery_policy=DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy=SlotPolicy.EXCLUSIVE,
        payloads=(ProcessWakePayload(delivery),),
        source_key=f"process:{process_id}:event:{sequence}:wake",
    )


def session_command_draft(session_id: str, command: SessionCommandPayload, idempotency_key: str) -> QueuedWorkDraft:
    """The draft of a session command.

    Raises:
        InvalidArgumentError: a blank idempotency key.
    """
    if not idempotency_key.strip():
        raise InvalidArgumentError(
            "a session command needs an idempotency key", field="idempotency_key", value=idempotency_key
        )
    return QueuedWorkDraft(
        session_id=session_id,
        delivery_policy=DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
        slot_policy=SlotPolicy.EXCLUSIVE,
        payloads=(command,),
        source_key=f"command:{command.command}:{idempotency_key}",
    )
