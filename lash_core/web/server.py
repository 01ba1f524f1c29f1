"""Serving the web app from this process, with a clean end (``docs/contracts/web.md`` 6)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from lash_core.errors import SettingsError
from lash_core.web.app import end_streams
from lash_core.web.config import WebConfig
from lash_core.web.http_connection import connection_class
from lash_core.web.origins import listens_on_loopback
from lash_core.web.web_state import WebState

STOP_SECONDS = 5
"""For requests under way when the server is told to stop; streams are ended at once."""

KEEP_ALIVE_SECONDS = 30
"""A connection without a request: a page asks now and then, and a new TLS handshake costs more than this."""

OTHER_CONNECTIONS_MAX = 512
"""Beside those of watchers: short requests, and pages that keep a connection."""

BACKLOG = 2_048
"""Connections that wait to be taken: all browsers come at once after a restart."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM form for https."""

    certificate: str
    key: str | None = None


class WebServer:
    """One HTTP server in the running event loop. It handles no signals: its owner does.

    Args:
        app: of ``session_app``.
        host: an address or a name of this machine. Anything but the loopback needs a token, or an ``authorize``.
        port: 0 takes a free one.
        certificate: serve https.

    Raises:
        SettingsError: the app knows nobody and the host is not the loopback.
    """

    def __init__(
        self, app: Starlette, host: str = "127.0.0.1", port: int = 0, *, certificate: Certificate | None = None
    ) -> None:
        state: WebState = app.state.lash_web
        check_bind(host, state.config)
        self._app = app
        self._host = host
        self._port = port
        self._certificate = certificate
        self._limits = state.config.limits
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen. Raises: SettingsError: the address cannot be listened at; a certificate that cannot be read."""
        listener = await asyncio.to_thread(_listen, self._host, self._port)
        certificate = self._certificate
        try:
            config = uvicorn.Config(
                self._app,
                # h11 and no WebSockets: what is tested is what runs, whatever else is installed.
                http=connection_class(self._limits.body_ms_max, self._limits.stall_ms),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                limit_concurrency=self._limits.watchers_max + OTHER_CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_certfile=None if certificate is None else certificate.certificate,
                ssl_keyfile=None if certificate is None else certificate.key,
            )
            config.load()
        except (OSError, ValueError) as error:
            listener.close()
            raise SettingsError(f"the certificate cannot be used: {error}", field="certificate") from error
        self._server = server = _Server(config)
        self._serving = asyncio.create_task(server.serve([listener]), name="lash-web-server")
        host, port = listener.getsockname()[:2]
        self.url = f"{'https' if certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait((ready, self._serving), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            await self._serving

    @property
    def connections(self) -> int:
        """How many there are, with those that are closed but still have something to send."""
        return 0 if self._server is None else len(self._server.server_state.connections)

    async def wait(self) -> None:
        """Until it has stopped."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """End the streams, finish what is asked, listen no more. May be called twice."""
        end_streams(self._app)
        if self._server is not None:
            self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait((self._serving,))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Server(uvicorn.Server):
    """Tells when it listens, and leaves signals to whoever runs the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def check_bind(host: str, config: WebConfig) -> None:
    """Raises: SettingsError: an app that knows nobody would listen where others reach it."""
    if config.is_open and not listens_on_loopback(host):
        raise SettingsError(
            f"without a token only the loopback is listened at, not {host!r}: set LASH_WEB_TOKEN",
            field="LASH_WEB_TOKEN",
            value=host,
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}", field="port", value=f"{host}:{port}"
        ) from error
    listener.settimeout(0)
    return listener
