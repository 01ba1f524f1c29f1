"""Serves metrics and health from a thread of its own, so that it answers while the main loop is blocked."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lash_core.errors import SettingsError

REQUEST_TIMEOUT_SECONDS = 10
JSON = "application/json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content type and body of a page."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def as_json(cls, value: object, status: int = 200) -> Answer:
        """A JSON page."""
        return cls(status, JSON, json.dumps(value, default=str).encode() + b"\n")


Page = Callable[[], Answer]


def metrics_page(registry: CollectorRegistry) -> Page:
    """``/metrics`` of a registry."""
    return lambda: Answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))


class MetricsServer:
    """A threaded HTTP server of a few pages, on this machine only unless told otherwise.

    Args:
        pages: path → page; called in a server thread.
        host: address to listen on.
        port: 0 takes a free one.
    """

    def __init__(self, pages: dict[str, Page], host: str = "127.0.0.1", port: int = 0) -> None:
        self._pages = pages
        self._host = host
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        if self._server is not None or self._stopped:
            return
        try:
            self._server = _Server((self._host, self._port), _handler(self._pages))
        except OSError as error:
            raise SettingsError(
                f"the metrics server cannot listen on {self._host}:{self._port}: {error}",
                field="metrics_port",
                value=self._port,
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="lash-metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str | None:
        """Where ``/metrics`` is, or None while it does not listen."""
        if self._server is None:
            return None
        host, port = self._server.server_address[:2]
        name = str(host) if str(host) not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104 - what it listens on
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    async def stop(self) -> None:
        """Stop listening. May be called unstarted and twice."""
        self._stopped = True
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            await asyncio.to_thread(server.shutdown)
            self._thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(pages: dict[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS
        server_version = "lash"
        sys_version = ""

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            try:
                answer = page() if page is not None else Answer.as_json({"pages": sorted(pages)}, 404)
            except Exception as error:  # noqa: BLE001 - a page that fails must not end the server
                _log.exception("%s failed", self.path)
                answer = Answer.as_json({"error": str(error)}, 500)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            _log.debug(format, *args)

    return Handler
