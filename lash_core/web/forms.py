"""What the routes take and what they answer, as models: checked here, described by ``openapi.json`` (``web.md`` 1)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, model_validator

from lash_core.client_session import CancelInputOutcome
from lash_core.model.base import Model
from lash_core.model.ids import ID_BYTES_MAX
from lash_core.model.process_filter import FilterStatus
from lash_core.store.process_observation import PAGE_MAX, TAIL_MAX
from lash_core.web.calls import Body, Query

PROCESS_IDS_MAX = 100
MESSAGES_MAX = 10_000
REASON_CHARACTERS_MAX = 1_000
KEY_CHARACTERS_MAX = 200

_NO_CONTROL = r"[^\u0000-\u001f\u007f-\u009f#]"
_NO_BLANK = r"[^\u0000-\u0020\u007f-\u009f#]"
ID_SCHEMA: dict[str, JsonValue] = {
    "minLength": 1,
    "maxLength": ID_BYTES_MAX,
    "pattern": f"^{_NO_BLANK}({_NO_CONTROL}*{_NO_BLANK})?$",
}
"""Of a session's or a process's id, for the description alone: ``check_id`` decides, and counts bytes."""

Id = Annotated[str, Field(json_schema_extra=ID_SCHEMA)]


# -- what they take --------------------------------------------------------------------------------------


class PageQuery(Query):
    """Which part of a listing."""

    limit: int = Field(default=50, ge=1, le=PAGE_MAX)
    cursor: str | None = Field(default=None, max_length=10_000)


class ObservationQuery(Query):
    """How much of the history; all of it by default."""

    messages: int | None = Field(default=None, ge=0, le=MESSAGES_MAX)


class EventsQuery(ObservationQuery):
    """Where to go on, and how much of the history is sent to who has nothing of it."""

    cursor: str | None = Field(default=None, max_length=2_000)
    ticket: str | None = Field(default=None, max_length=1_024)


class ProcessesQuery(Query):
    """How many processes, and how much of the end of each log."""

    limit: int = Field(default=50, ge=0, le=PAGE_MAX)
    events: int = Field(default=5, ge=0, le=TAIL_MAX)
    live: bool = False


class FleetQuery(Query):
    """As ``ProcessesQuery``, of one status if told."""

    limit: int = Field(default=50, ge=0, le=PAGE_MAX)
    events: int = Field(default=0, ge=0, le=TAIL_MAX)
    status: FilterStatus = "any"


class InputBody(Body):
    """An input. The same ``source_key`` again sends nothing."""

    text: str = Field(min_length=1)
    source_key: str | None = Field(default=None, min_length=1, max_length=KEY_CHARACTERS_MAX)
    after_turn: bool = False


class CancelInputBody(Body):
    """An input by its batch id, or by the id of a pending turn input."""

    input_id: str = Field(min_length=1, max_length=KEY_CHARACTERS_MAX)


class CancelTurnBody(Body):
    """A turn; the one that is open now when it is not named."""

    turn_id: str | None = Field(default=None, min_length=1, max_length=512)
    reason: str | None = Field(default=None, max_length=REASON_CHARACTERS_MAX)
    request_id: str | None = Field(default=None, min_length=1, max_length=KEY_CHARACTERS_MAX)


class CancelProcessesBody(Body):
    """Processes that the session has handles on."""

    process_ids: list[Id] = Field(min_length=1, max_length=PROCESS_IDS_MAX)
    reason: str | None = Field(default=None, max_length=REASON_CHARACTERS_MAX)


class LoginBody(Body):
    """The token, or a ticket that names no session."""

    token: str | None = Field(default=None, max_length=1_024)
    ticket: str | None = Field(default=None, max_length=1_024)

    @model_validator(mode="after")
    def _one_of_them(self) -> LoginBody:
        if (self.token is None) == (self.ticket is None):
            raise ValueError("give either token or ticket")
        return self


class LogoutBody(Body):
    """Nothing."""


class TicketBody(Body):
    """Which session; None: all of them."""

    session_id: Id | None = None


# -- what they answer ------------------------------------------------------------------------------------


class Answer(Model):
    """An answer; what is not known is null."""

    model_config = ConfigDict(ser_json_inf_nan="null")


class SessionLine(Answer):
    """A session in a listing."""

    id: str
    name: str
    model: str | None
    parent: str | None
    created_at_ms: int
    head_revision: int
    queued: int
    held_by: str | None


class SessionPage(Answer):
    """A part of all sessions."""

    items: list[SessionLine]
    next_cursor: str | None


class InputAnswer(Answer):
    """The input is queued; its user message will have the id ``m_batch_<batch_id>``."""

    session_id: str
    batch_id: str
    enqueue_seq: int


class CancelInputAnswer(Answer):
    """What the cancel found."""

    session_id: str
    input_id: str
    outcome: CancelInputOutcome


class CancelTurnAnswer(Answer):
    """What the cancel found: ``no_turn`` when none was open."""

    session_id: str
    turn_id: str | None
    outcome: str


class ProcessEventFacts(Answer):
    """An entry of a log; a large payload is told by its size."""

    sequence: int
    event_type: str
    occurred_at_ms: int
    payload: Any = None
    payload_bytes: int | None = None


class ProcessFailure(Answer):
    """Why a process failed."""

    class_: str = Field(alias="class")
    code: str | None
    message: str


class ProcessFacts(Answer):
    """A process with the end of its log; ``events_before`` entries came before."""

    process_id: str
    kind: str
    label: str | None
    queue: str
    status: str
    waiting: bool
    cancelling: bool
    disposition: str
    attempt: int
    created_at_ms: int
    updated_at_ms: int
    failure: ProcessFailure | None
    events: list[ProcessEventFacts]
    events_before: int


class SessionProcessFacts(ProcessFacts):
    """A process of a session: which of its scopes hold it, and whether it wakes the session."""

    scopes: list[str]
    wakes: bool


class SessionProcessesAnswer(Answer):
    """Newest first; ``total`` is how many there are."""

    session_id: str
    total: int
    items: list[SessionProcessFacts]


class FleetAnswer(Answer):
    """The fleet: counts, workers, and the processes that changed last."""

    facts: dict[str, Any]
    workers: list[dict[str, Any]]
    items: list[ProcessFacts]
    cursor: str


class CancelledProcess(Answer):
    """One process of a cancel."""

    id: str
    outcome: str


class CancelProcessesAnswer(Answer):
    """What the cancel found, in the order of the request."""

    items: list[CancelledProcess]


class AccessAnswer(Answer):
    """Who the caller is to this app."""

    authenticated: bool
    login: bool
    writes: bool


class LoginAnswer(Answer):
    """The cookie is set."""

    expires_at_ms: int


class TicketAnswer(Answer):
    """A ticket, good once."""

    ticket: str
    expires_at_ms: int


class Nothing(Answer):
    """It is done."""


class Health(Answer):
    """It serves."""

    status: str = "ok"


class ErrorFacts(Answer):
    """Why it was not done; ``outcome`` is ``unknown`` where it may have been."""

    code: str
    message: str
    field: str | None
    value: Any
    limit: Any
    outcome: str


class ErrorAnswer(Answer):
    """An error."""

    error: ErrorFacts
