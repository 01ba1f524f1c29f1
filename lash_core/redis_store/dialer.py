"""Makes connections: transport, TLS, credentials, protocol version, database."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from redis.credentials import CredentialProvider
from redis.exceptions import ResponseError

from lash_core.errors import SettingsError, StoreClosedError
from lash_core.redis_store.address import Credentials, Endpoint, ServerAddress
from lash_core.redis_store.commands import pack_commands
from lash_core.redis_store.redis_errors import connect_reason, connect_refusal
from lash_core.redis_store.wire import NotSentError, ReplyLostError, Wire
from lash_core.settings import StoreSettings

CLIENT_NAME = "lash"


class Dialer:
    """Opens connections to endpoints of one deployment.

    Args:
        address: how: TLS, database, credentials.
        settings: ``connect_timeout_ms`` bounds each attempt as a whole, ``insecure_tls`` switches verification off.
        credential_provider: asked at each connect, so that short-lived tokens work; goes before the URL's.
    """

    def __init__(
        self, address: ServerAddress, settings: StoreSettings, credential_provider: CredentialProvider | None = None
    ) -> None:
        self._address = address
        self._seconds = settings.connect_timeout_ms / 1_000
        self._provider = credential_provider
        self._wires: set[Wire] = set()
        self._closed = False
        self._tls = _tls_context(address, insecure=settings.insecure_tls) if address.tls else None

    async def dial(
        self,
        endpoint: Endpoint,
        *,
        on_push: Callable[[list[Any]], bool] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> Wire:
        """Connect and introduce ourselves.

        Raises:
            NotSentError: with ``refusal`` when another attempt cannot help (password, certificate, version, closed).
        """
        self.check_open()
        return await self._dial(endpoint, await self._credentials(), self._address.db, on_push, on_lost)

    def check_open(self) -> None:
        """Raises: NotSentError, with ``refusal``, after ``close``: nobody shall wait for what will never be."""
        if self._closed:
            where = self._address.where
            text = f"{where} cannot be reached: the connection was closed by this process"
            raise NotSentError(text, StoreClosedError(text, field="redis_url", value=where))

    async def dial_sentinel(self, endpoint: Endpoint) -> Wire:
        """Connect to a sentinel: own credentials, no database. Raises: NotSentError."""
        return await self._dial(endpoint, self._address.sentinel_credentials, 0, None, None)

    async def close(self) -> None:
        """End every connection made here, and wait until the operating system has closed them. Makes no more."""
        self._closed = True
        wires = list(self._wires)
        for wire in wires:
            wire.close()
        if wires:
            await asyncio.wait([wire.gone for wire in wires], timeout=self._seconds)

    async def _dial(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        db: int,
        on_push: Callable[[list[Any]], bool] | None,
        on_lost: Callable[[], None] | None,
    ) -> Wire:
        wire: Wire | None = None
        try:
            async with asyncio.timeout(self._seconds):
                wire = await self._connect(endpoint, on_push, on_lost)
                self._keep(wire)
                await self._introduce(wire, credentials, db)
        except (OSError, TimeoutError, ResponseError, NotSentError, ReplyLostError) as error:
            if wire is not None:
                wire.close()
            raise NotSentError(
                f"{endpoint}: {connect_reason(error)}", connect_refusal(error, self._address.where)
            ) from None
        except BaseException:
            if wire is not None:
                wire.close()
            raise
        return wire

    def _keep(self, wire: Wire) -> None:
        self._wires.add(wire)
        wire.gone.add_done_callback(lambda _: self._wires.discard(wire))

    async def _connect(
        self,
        endpoint: Endpoint,
        on_push: Callable[[list[Any]], bool] | None,
        on_lost: Callable[[], None] | None,
    ) -> Wire:
        loop = asyncio.get_running_loop()

        def wire() -> Wire:
            return Wire(loop, on_push, on_lost)

        if endpoint.is_unix:
            _, local = await loop.create_unix_connection(wire, endpoint.host)
            return local
        transport, remote = await loop.create_connection(
            wire, endpoint.host, endpoint.port, ssl=self._tls, server_hostname=endpoint.host if self._tls else None
        )
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return remote

    async def _introduce(self, wire: Wire, credentials: Credentials, db: int) -> None:
        hello: list[str] = ["HELLO", "3"]
        if credentials.password is not None:
            hello += ["AUTH", credentials.username or "default", credentials.password]
        commands = [(*hello, "SETNAME", CLIENT_NAME)]
        if db:
            commands.append(("SELECT", str(db)))
        request = pack_commands(commands)
        for reply in await wire.exchange(request, len(commands), seconds=self._seconds):
            if isinstance(reply, ResponseError):
                raise reply

    async def _credentials(self) -> Credentials:
        if self._provider is None:
            return self._address.credentials
        try:
            given = await self._provider.get_credentials_async()
        except Exception as error:  # noqa: BLE001 - a provider is foreign code; its text may carry a token
            raise NotSentError(f"the credential provider failed ({type(error).__name__})") from None
        if len(given) == 1:
            return Credentials(None, str(given[0]))
        return Credentials(str(given[0]), str(given[1]))


def _tls_context(address: ServerAddress, *, insecure: bool) -> ssl.SSLContext:
    files = address.tls_files
    try:
        context = ssl.create_default_context(cafile=files.ca_certs)
        if files.certfile is not None:
            context.load_cert_chain(files.certfile, files.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{address.where}: a certificate file cannot be read ({connect_reason(error)})",
            field="LASH_REDIS_URL",
            value=address.where,
        ) from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
