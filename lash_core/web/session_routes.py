"""Sessions: listed, observed, watched, given input, cancelled (``docs/contracts/web.md`` 1, 2)."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from lash_core.errors import InvalidArgumentError
from lash_core.model.queued_work import DeliveryPolicy
from lash_core.model.session import ChildRelation
from lash_core.model.session_cursor import SessionCursor
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.runtime.observation.watch_json import WatchJson
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.web import forms
from lash_core.web.calls import Call
from lash_core.web.doors import is_authorized
from lash_core.web.event_stream import EventStream, queued_of
from lash_core.web.replies import json_reply
from lash_core.web.standing import Standing


async def list_sessions(call: Call) -> forms.SessionPage:
    """A page of sessions in no stated order; those that the caller may not observe are left out."""
    asked: forms.PageQuery = call.query
    found, following = await call.client.list_sessions(limit=asked.limit, cursor=asked.cursor)
    items = [
        _line(summary)
        for summary in found
        if await is_authorized(call.request, call.state, "observe", summary.session_id)
    ]
    return forms.SessionPage(items=items, next_cursor=following)


async def observation(call: Call) -> Response:
    """The whole session, and the cursor to go on from."""
    asked: forms.ObservationQuery = call.query
    observer = observer_of(call)
    shown = await observer.current_session_observation()
    line = WatchJson(asked.messages).line(shown, await queued_of(observer))
    return json_reply(json.loads(line.data))


async def events(call: Call) -> Response:
    """Server-sent events from a cursor on, or from an observation."""
    asked: forms.EventsQuery = call.query
    call.state.watchers.check_room()
    observer = observer_of(call)
    text = _last_event_id(call) or asked.cursor
    cursor = None if not text else observer.checked(text)
    await observer.store()
    standing = Standing(call.request, call.state, call.session_id)
    return EventStream(observer, cursor, asked.messages, call.state.watchers, standing)


async def send_input(call: Call) -> forms.InputAnswer:
    """Queue an input; the session is made if it is not there."""
    body: forms.InputBody = call.body
    policy = DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT if body.after_turn else DeliveryPolicy.EARLIEST_SAFE_BOUNDARY
    session = call.client.session(call.session_id)
    sent = await session.send(body.text, source_key=body.source_key, delivery_policy=policy)
    return forms.InputAnswer(session_id=call.session_id, batch_id=sent.batch_id, enqueue_seq=sent.batch.enqueue_seq)


async def cancel_input(call: Call) -> forms.CancelInputAnswer:
    """Take an input back that no turn has taken in."""
    body: forms.CancelInputBody = call.body
    receipt = await call.client.session(call.session_id).cancel_input(body.input_id)
    return forms.CancelInputAnswer(session_id=call.session_id, input_id=receipt.input_id, outcome=receipt.outcome)


async def cancel_open_turn(call: Call) -> forms.CancelTurnAnswer:
    """Ask for the cancel of a turn."""
    body: forms.CancelTurnBody = call.body
    session = call.client.session(call.session_id)
    receipt = await session.cancel_turn(body.turn_id, reason=body.reason, request_id=body.request_id)
    return forms.CancelTurnAnswer(session_id=call.session_id, turn_id=receipt.turn_id, outcome=receipt.outcome)


def observer_of(call: Call) -> SessionObserver:
    """The session of a call, to be read and followed."""
    return SessionObserver(call.session_id, call.client.stores)


def _last_event_id(call: Call) -> str | None:
    """Where a browser that reconnects was. It sends the id as UTF-8, and a header is read as Latin-1."""
    given = call.request.headers.get("last-event-id")
    if given is None:
        return None
    try:
        return SessionCursor(given.encode("latin-1").decode())
    except UnicodeError as error:
        raise InvalidArgumentError("Last-Event-ID is not UTF-8", field="Last-Event-ID") from error


def _line(summary: SessionSummary) -> forms.SessionLine:
    relation: Any = summary.relation
    return forms.SessionLine(
        id=summary.session_id,
        name=summary.session_name,
        model=summary.model or None,
        parent=relation.parent_session_id if isinstance(relation, ChildRelation) else None,
        created_at_ms=summary.created_at_ms,
        head_revision=summary.head_revision,
        queued=summary.queued,
        held_by=summary.lease_owner_id,
    )
