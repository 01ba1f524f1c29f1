"""A server that says what a test tells it to say: the page's own rules, without workers and without a store.

It serves the page's files and the routes that the page asks (``docs/contracts/web.md`` 1, 2). Events are numbered as a
session's are; a stream begins behind the cursor that the browser names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.browser.serving import serving

PAGE = Path(__file__).resolve().parents[2] / "lash_core" / "web" / "page"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
Json = dict[str, Any]
PROCESS: Json = {"waiting": False, "cancelling": False, "attempt": 1, "created_at_ms": 1, "events": [], "failure": None}


class ScriptedSession:
    """What is there of the one session, and what its watchers are told."""

    def __init__(self, session_id: str = "scripted/one") -> None:
        self.session_id = session_id
        self.messages: list[Json] = []
        self.queued: list[Json] = []
        self.processes: list[Json] = []
        self.events: list[tuple[str, Json]] = []
        self.sent: list[Json] = []
        self.cancelled: list[Json] = []
        self.cursors: list[str | None] = []
        """The cursor of each stream that was opened."""
        self.refuse: tuple[int, str] | None = None
        """Status and message that every request gets."""
        self.token: str | None = None
        self.writes = True
        self.kept_from = 0
        self._news = asyncio.Event()
        self._life = asyncio.Event()

    # -- what a test says --------------------------------------------------------------------------------

    def say(self, kind: str, /, **more: Any) -> None:
        """An event of the session."""
        position = len(self.events) + 1
        event = {"type": kind, "session_id": self.session_id, "revision": 1, "cursor": f"c{position}", **more}
        self.events.append((kind, event))
        self._wake()

    def activity(self, kind: str, correlation_id: str = "t1", /, **facts: Any) -> None:
        """An activity of the turn."""
        self.say("turn_activity", activity={"type": kind, "correlation_id": correlation_id, "id": "a", **facts})

    def commit(self, *messages: Json) -> None:
        """Messages become history."""
        first = len(self.messages)
        self.messages.extend(messages)
        self.queued = []
        self.say("committed", message_count=len(self.messages), first=first, messages=list(messages))

    def cut(self) -> None:
        """End all streams."""
        self._life.set()
        self._life = asyncio.Event()

    # -- what the page asks ------------------------------------------------------------------------------

    def observation(self, newest: int | None = None) -> Json:
        """The whole session, or with its newest so many messages."""
        first = 0 if newest is None else max(0, len(self.messages) - newest)
        return {
            "policy": {"model": "scripted", "provider_id": "test"},
            "turn_index": 1,
            "token_usage": {"input": 1, "output": 2},
            "current_agent_frame_id": "frame",
            "message_count": len(self.messages),
            "first": first,
            "messages": self.messages[first:],
            "queued": list(self.queued),
        }

    def observed(self, newest: int | None = None) -> Json:
        """The event of the whole session."""
        cursor = f"c{len(self.events)}"
        facts = {"type": "observation", "session_id": self.session_id, "revision": 1, "cursor": cursor}
        return facts | {"observation": self.observation(newest)}

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def stream(self, cursor: str | None, newest: int | None = None) -> AsyncIterator[str]:
        """Events behind a cursor, as text."""
        life = self._life
        yield "retry: 50\n\n"
        if cursor is None:
            observed = self.observed(newest)
            position = len(self.events)
            yield _text("observation", observed)
        else:
            position = int(cursor[1:])
            if position < self.kept_from:
                observed = self.observed(newest)
                position = len(self.events)
                gap = {**observed, "type": "gap", "reason": "trimmed", "requested_cursor": cursor}
                yield _text("gap", gap)
        while True:
            news = self._news
            for kind, event in self.events[position:]:
                yield _text(kind, event)
            position = len(self.events)
            if life.is_set():
                return
            waits = [asyncio.ensure_future(news.wait()), asyncio.ensure_future(life.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()


def _text(kind: str, event: Json) -> str:
    return f"id: {event['cursor']}\nevent: {kind}\ndata: {json.dumps(event)}\n\n"


def text_message(role: str, text: str, message_id: str = "") -> Json:
    """A message of one text."""
    return {"id": message_id, "role": role, "parts": [{"type": "text", "text": text}]}


def _newest(request: Request) -> int | None:
    asked = request.query_params.get("messages")
    return None if asked is None else int(asked)


class _Routes:
    """What the page asks."""

    def __init__(self, session: ScriptedSession) -> None:
        self._session = session

    def _knows(self, request: Request) -> bool:
        return self._session.token is None or request.cookies.get("token") == self._session.token

    def _refusal(self, request: Request) -> Response | None:
        if self._session.refuse is not None:
            status, message = self._session.refuse
            return JSONResponse({"error": {"code": "refused", "message": message}}, status)
        if not self._knows(request):
            return JSONResponse({"error": {"code": "unauthenticated", "message": "log in first"}}, 401)
        return None

    async def access(self, request: Request) -> Response:
        session = self._session
        facts = {"authenticated": self._knows(request), "login": session.token is not None, "writes": session.writes}
        return JSONResponse(facts)

    async def login(self, request: Request) -> Response:
        if (await request.json())["token"] != self._session.token:
            return JSONResponse({"error": {"code": "unauthenticated", "message": "wrong token"}}, 401)
        response = JSONResponse({"expires_at_ms": 0})
        response.set_cookie("token", self._session.token or "", httponly=True, samesite="strict")
        return response

    async def sessions(self, request: Request) -> Response:
        name = self._session.session_id
        row = {"id": name, "name": name, "model": "scripted", "created_at_ms": 1, "queued": 0, "held_by": None}
        return self._refusal(request) or JSONResponse({"items": [row], "next_cursor": None})

    async def observation(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse(self._session.observed(_newest(request)))

    async def events(self, request: Request) -> Response:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        cursor = request.headers.get("last-event-id") or request.query_params.get("cursor")
        self._session.cursors.append(cursor)
        return StreamingResponse(self._session.stream(cursor, _newest(request)), media_type="text/event-stream")

    async def send(self, request: Request) -> Response:
        session = self._session
        session.sent.append(await request.json())
        return self._refusal(request) or JSONResponse({"batch_id": f"b{len(session.sent)}"})

    async def cancel(self, request: Request) -> Response:
        self._session.cancelled.append(await request.json())
        self._session.queued = []
        return JSONResponse({"outcome": "cancelled", "items": []})

    async def processes(self, request: Request) -> Response:
        rows = [PROCESS | row for row in self._session.processes]
        return self._refusal(request) or JSONResponse({"items": rows, "total": len(rows)})

    def app(self) -> Starlette:
        """All of it, and the page."""
        one = "/sessions/{id:path}"
        posts = ["POST"]
        return Starlette(
            routes=[
                Route("/access", self.access),
                Route("/login", self.login, methods=posts),
                Route("/sessions", self.sessions),
                Route(f"{one}/observation", self.observation),
                Route(f"{one}/events", self.events),
                Route(f"{one}/input", self.send, methods=posts),
                Route(f"{one}/cancel-input", self.cancel, methods=posts),
                Route(f"{one}/cancel-turn", self.cancel, methods=posts),
                Route(f"{one}/processes/cancel", self.cancel, methods=posts),
                Route(f"{one}/processes", self.processes),
                Mount("/", StaticFiles(directory=PAGE, html=True)),
            ]
        )


@asynccontextmanager
async def scripted(session: ScriptedSession | None = None) -> AsyncGenerator[tuple[str, ScriptedSession]]:
    """A scripted session, served; its address and itself."""
    made = session or ScriptedSession()

    async def with_policy(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, sending)

    app = _Routes(made).app()
    async with serving(with_policy) as url:
        try:
            yield url, made
        finally:
            made.cut()
