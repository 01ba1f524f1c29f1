"""A watch of a session as server-sent events (``docs/contracts/web.md`` 2)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lash_core.errors import LashError, UnknownSessionError
from lash_core.errors.observation import LiveReplayClosedError
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionObservationEvent, WatchItem
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.runtime.observation.watch_json import WatchJson
from lash_core.web.ready_items import ReadyItems
from lash_core.web.refusals import error_facts
from lash_core.web.standing import Standing
from lash_core.web.watchers import Watcher, Watchers

RETRY_MS = (500, 1_500)
"""How late a browser connects again, at random in between: after a restart not all come at once."""

CHUNK_BYTES_MAX = 64 * 1024
"""Of events that are ready at once and written together: what a server's own buffer takes before it says stop."""

END_MS_MAX = 1_000
"""For the last event of a stream whose reader still takes what comes."""

_log = logging.getLogger(__name__)


class EventStream(Response):
    """The answer that goes on for as long as the session exists and its reader stays.

    Args:
        observer: of the session.
        cursor: of the last event that the reader has, if any. Checked before.
        messages_max: the newest so many messages are sent of a history that the reader does not have; None = all.
        watchers: who watches through this process; there is room.
        standing: who opened it, asked again while it lasts; None: nobody is asked.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        observer: SessionObserver,
        cursor: SessionCursor | None,
        messages_max: int | None,
        watchers: Watchers,
        standing: Standing | None = None,
    ) -> None:
        # A proxy that collects answers before it passes them on is told not to.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._observer = observer
        self._cursor = cursor
        self._json = WatchJson(messages_max)
        self._watchers = watchers
        self._standing = standing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the stream until it ends, its reader goes, or the process stops."""
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(head)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        with self._watchers.watching(send, self._standing) as watcher:
            await send(head)
            pump = asyncio.create_task(self._pump(watcher), name="lash-web-watch")
            watcher.follow(pump)
            gone = asyncio.create_task(_disconnected(receive), name="lash-web-gone")
            try:
                await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    watcher.end("gone")
            finally:
                for task in (pump, gone):
                    task.cancel()
                await asyncio.gather(pump, gone, return_exceptions=True)
            if watcher.why_ended in (None, "shutdown", "refused", "failed"):
                await self._say_ended(watcher, pump)

    async def _pump(self, watcher: Watcher) -> dict[str, Any]:
        """Write what comes; answers why it ended."""
        await watcher.write(f"retry: {random.randint(*RETRY_MS)}\n\n".encode())  # noqa: S311 - not a secret
        items = ReadyItems(self._observer.watch(self._cursor))
        try:
            while True:
                parts = [await self._event(await items.wait())]
                size = len(parts[0])
                while size < CHUNK_BYTES_MAX and (item := items.take()) is not None:
                    parts.append(await self._event(item))
                    size += len(parts[-1])
                await watcher.write(b"".join(parts))
        except (UnknownSessionError, StopAsyncIteration):
            return {"reason": "deleted"}
        except LiveReplayClosedError:
            return {"reason": "shutdown"}
        except (LashError, OSError) as error:
            _log.warning("session %s: a watch of it failed: %s", self._observer.session_id, error)
            return {"reason": "failed", "error": error_facts(error)}
        except Exception as error:  # noqa: BLE001 - a bug, told to the log and not to the reader
            _log.exception("session %s: a watch of it failed", self._observer.session_id)
            return {"reason": "failed", "error": error_facts(error)}
        finally:
            await items.aclose()

    async def _event(self, item: WatchItem) -> bytes:
        if isinstance(item, SessionObservationEvent):
            return self._json.line(item).sse
        return self._json.line(item, await queued_of(self._observer)).sse

    async def _say_ended(self, watcher: Watcher, pump: asyncio.Task[dict[str, Any]]) -> None:
        facts = _why(watcher) if pump.cancelled() else pump.result()
        text = json.dumps({"type": "ended", "session_id": self._observer.session_id, **facts})
        # A reader that takes nothing, or is gone: nobody is left to be told.
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(END_MS_MAX / 1_000):
                await watcher.write(f"event: ended\ndata: {text}\n\n".encode(), more=False)


def _why(watcher: Watcher) -> dict[str, Any]:
    """Why a stream was ended that would have gone on."""
    told = {} if watcher.error is None else {"error": error_facts(watcher.error)}
    return {"reason": watcher.why_ended, **told}


async def queued_of(observer: SessionObserver) -> tuple[QueuedWorkBatch, ...]:
    """What waits in the session's queue; nothing when the session was deleted meanwhile."""
    try:
        return await observer.queued()
    except UnknownSessionError:
        return ()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
