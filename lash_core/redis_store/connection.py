"""One logical connection to a Redis deployment: one server, the master of sentinels, or a cluster.

Nothing here is shared between connections: a thread with its own event loop opens its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.credentials import CredentialProvider
from redis.exceptions import ResponseError

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, SettingsError, StoreRefusedError
from lash_core.redis_store.address import Endpoint, ServerAddress, Topology, parse_url
from lash_core.redis_store.cluster_routes import ClusterRoutes
from lash_core.redis_store.commands import Command
from lash_core.redis_store.dialer import Dialer
from lash_core.redis_store.dispatch import Dispatch, Manner, pause_seconds
from lash_core.redis_store.durability import confirmation
from lash_core.redis_store.embedded import reviver
from lash_core.redis_store.node import Resolve
from lash_core.redis_store.redis_errors import refusal, unreachable
from lash_core.redis_store.routes import NodeFactory, OneNodeRoutes, Routes
from lash_core.redis_store.sentinel_routes import master_resolver
from lash_core.redis_store.server_checks import ServerReport
from lash_core.redis_store.wire import NotSentError
from lash_core.settings import StoreSettings

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class RedisConnection:
    """Pipelines commands to the nodes that serve their keys. Made by ``open``; belongs to one event loop.

    Attributes:
        topology: ``single``, ``sentinel`` or ``cluster``.
        where: the URL without secrets.
        settings: time limits, durability, bounds.
        routes: the nodes; for the modules beside this one.
    """

    def __init__(
        self,
        address: ServerAddress,
        settings: StoreSettings,
        *,
        credential_provider: CredentialProvider | None = None,
        resolver: Callable[[], str] | None = None,
    ) -> None:
        self.topology: Topology = address.topology
        self.where = address.where
        self.settings = settings
        self._address = address
        self._dialer = Dialer(address, settings, credential_provider)
        self._factory = NodeFactory(
            self._dialer, settings, address.where, moved_master=self.topology in {"sentinel", "cluster"}
        )
        self.routes: Routes = self._make_routes(resolver)

    @classmethod
    async def open(
        cls,
        url: str,
        settings: StoreSettings,
        *,
        credential_provider: CredentialProvider | None = None,
        resolver: Callable[[], str] | None = None,
    ) -> RedisConnection:
        """Connect, within ``connect_timeout_ms``, and check the server.

        Args:
            url: as in ``address.py``.
            settings: time limits, durability, bounds.
            credential_provider: any redis-py credential provider, instead of the URL's user and password.
            resolver: called in a thread before each connect of a single server; returns its URL, and may start it
            first.

        Raises:
            SettingsError: the URL is wrong. StoreUnreachableError: nobody answered in time.
            StoreRefusedError: the server may not be used: password, version, eviction, replica, durability.
        """
        revive = resolver or reviver(url)
        connection = cls(parse_url(url), settings, credential_provider=credential_provider, resolver=revive)
        try:
            await connection._reach()
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def report(self) -> ServerReport:
        """What the server that was looked at last said of itself; its warnings are those of all nodes."""
        known = self._factory.reports
        serving = [known[name] for node in self.routes.nodes() if (name := str(node.endpoint)) in known]
        reports = serving or list(known.values())
        return reports[-1].with_warnings(tuple(dict.fromkeys(text for one in reports for text in one.warnings)))

    async def pipeline(self, commands: Sequence[Command], *, durable: bool = False) -> list[Any]:
        """Send commands, grouped by node, each group in one write; replies in order, error replies in place.

        Not atomic: commands of one node run in order, those of several nodes side by side. Not safe to repeat blindly:
        a command whose reply was lost is not sent again.

        Args:
            commands: none of them may block.
            durable: confirm the writes as ``settings.durability`` says before returning.

        Raises:
            StoreUnreachableError: nothing was sent before ``retry_deadline_ms``.
            OutcomeUnknownError: replies were lost, or the writes were not confirmed.
        """
        return await self.dispatch(commands, durable=durable)

    async def read(self, commands: Sequence[Command], *, raw: bool = False) -> list[Any]:
        """Commands that only read: repeated until ``retry_deadline_ms``, replies in order.

        Args:
            commands: reads.
            raw: bytes instead of text.

        Raises:
            StoreUnreachableError: no answer before the deadline. StoreRefusedError: the first error reply.
        """
        replies = await self.dispatch(commands, writes=False, repeat_lost=True, raw=raw)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise refusal(reply, self.where)
        return replies

    async def execute(self, key: str, *args: str | bytes | float, raw: bool = False) -> Any:
        """One command; its error reply is raised. ``raw`` brings bytes instead of text.

        Raises:
            StoreRefusedError: the error reply. Else as ``pipeline``.
        """
        reply = (await self.dispatch([Command(key, args)], raw=raw))[0]
        if isinstance(reply, ResponseError):
            raise refusal(reply, self.where)
        return reply

    async def dispatch(
        self,
        commands: Sequence[Command],
        *,
        writes: bool = True,
        repeat_lost: bool = False,
        durable: bool = False,
        raw: bool = False,
        deadline_ms: float | None = None,
    ) -> list[Any]:
        """What ``pipeline`` and ``read`` are made of; ``deadline_ms`` is on this machine's own clock."""
        if not commands:
            return []
        manner = Manner(
            deadline_ms=own_time_ms() + self.settings.retry_deadline_ms if deadline_ms is None else deadline_ms,
            where=self.where,
            writes=writes,
            repeat_lost=repeat_lost,
            master_moves=self.topology != "single",
            confirm=confirmation(self.settings, self.report) if durable else None,
            raw=raw,
        )
        return await Dispatch(self.routes, commands, manner).run()

    async def close(self) -> None:
        """End every connection. May be called twice."""
        self.routes.close()
        await self._dialer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- inside --------------------------------------------------------------------------------------

    def _make_routes(self, revive: Callable[[], str] | None) -> Routes:
        address = self._address
        match address.topology:
            case "cluster":
                return ClusterRoutes(self._factory, address.endpoints)
            case "sentinel":
                return OneNodeRoutes(self._factory, master_resolver(address, self._dialer, self.settings))
            case "single":
                fixed = address.endpoints[0]
                return OneNodeRoutes(self._factory, _fixed(fixed) if revive is None else _revived(revive))

    async def _reach(self) -> None:
        deadline = own_time_ms() + self.settings.connect_timeout_ms
        turn = 0
        while True:
            try:
                if self.topology == "cluster":
                    await self.routes.refresh(None, "first use")
                await asyncio.gather(*(node.connect() for node in self.routes.nodes()))
                break
            except NotSentError as error:
                if error.refusal is not None:
                    raise error.refusal from None
                pause = pause_seconds(turn)
                if own_time_ms() + pause * 1_000 > deadline:
                    raise unreachable(self.where, error.reason) from None
            turn += 1
            await asyncio.sleep(pause)
        if self.topology == "single" and self.report.is_cluster:
            await self._become_cluster()

    async def _become_cluster(self) -> None:
        """The one server named in the URL is a node of a cluster: it is where the others are found."""
        self.routes.close()
        self.topology = "cluster"
        self._factory = NodeFactory(self._dialer, self.settings, self.where, moved_master=True)
        self.routes = ClusterRoutes(self._factory, self._address.endpoints)
        await self._reach()


def _fixed(endpoint: Endpoint) -> Resolve:
    async def resolve() -> Endpoint:
        return endpoint

    return resolve


def _revived(revive: Callable[[], str]) -> Resolve:
    async def resolve() -> Endpoint:
        try:
            url = await asyncio.to_thread(revive)
        except LashError as error:
            final = error if isinstance(error, StoreRefusedError | SettingsError) else None
            raise NotSentError(error.message, final) from None
        return parse_url(url).endpoints[0]

    return resolve
