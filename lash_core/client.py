"""``LashClient``: start processes and follow them from any program (DESIGN 6)."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Unpack

from lash_core.client_connect import open_stores
from lash_core.client_connecting import Connecting
from lash_core.client_enqueue import (
    EnqueueOptions,
    KindResolver,
    StartPlan,
    as_json,
    json_size,
    new_process_id,
    same_request,
)
from lash_core.client_handle import OnGap, ProcessHandle
from lash_core.client_listing import ListOptions, list_filter
from lash_core.client_process_views import FleetReads
from lash_core.client_retry import retry_registration
from lash_core.client_session import SessionHandle
from lash_core.client_sync import SyncLashClient
from lash_core.client_triggers import TriggerClient
from lash_core.errors import InvalidArgumentError, LashError, RegistrationConflictError, SettingsError
from lash_core.model.await_event import AwaitEventKey, Resolution, ResolveOutcome, UnknownOrRevoked
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import ProcessPage
from lash_core.redis_store.embedded import resolve_url
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from lash_core.settings import Settings, load_settings
from lash_core.store.client_stores import ClientStores, DeclaredKinds
from lash_core.store.process_batches import RegisterOutcome
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.why import Why

_CHUNK_ITEMS = 2_000
"""Items of one call of the registry's batch form: about 30 a partition, a few MB in memory."""

_CHUNKS_AT_ONCE = 2
"""The server works on one while the next is made; more would only wait for this process."""

_PAGES_MAX = 256
"""Pages that one ``list`` reads at most to fill its limit; its cursor goes on from there."""


@dataclass(frozen=True, slots=True)
class EnqueuedItem:
    """Answer of one item of ``enqueue_many``: its handle, or the error that ``enqueue`` would have raised."""

    status: Literal["created", "exists", "error"]
    process_id: str
    handle: ProcessHandle | None = None
    error: LashError | None = None

    @property
    def id(self) -> str:
        """The process id, under the name that rows and receipts have it."""
        return self.process_id


class LashClient(FleetReads):
    """Starts, finds, follows, signals and cancels processes. One per program is enough; it may be used concurrently.

    Args:
        stores: ``RedisStores``, ``InMemoryStores`` or anything with a process registry and a directory.
        app: an app whose manifests come before the directory's.
        settings: with them the payload limit is checked before anything is sent; without, the store alone checks it.
        on_close: called once, after the stores are closed.
    """

    def __init__(
        self,
        stores: ClientStores,
        app: DeclaredKinds | None = None,
        *,
        settings: Settings | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.stores = stores
        self.settings = Settings() if settings is None else settings
        self._limits = None if settings is None else settings.store.limits
        self._kinds = KindResolver(stores.directory, app)
        self.triggers = TriggerClient(stores, self._kinds, self._limits)
        self._on_close = on_close

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        app: DeclaredKinds | None = None,
        namespace: str | None = None,
        settings: Settings | None = None,
        credential_provider: Any = None,
    ) -> Connecting:
        """Connect: the url given, else ``LASH_REDIS_URL``, else the embedded server of ``LASH_DATA_DIR``.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.
            app: an app whose manifests come before the directory's.
            namespace: another than ``LASH_NAMESPACE``.
            settings: instead of the environment's.
            credential_provider: any redis-py credential provider.

        Returns:
            Something to ``await`` or to use in ``async with``; both give the client.

        Raises:
            StoreUnreachableError, StoreRefusedError: when it is awaited. SettingsError: a setting is wrong.
        """

        async def open_client() -> LashClient:
            used = load_settings() if settings is None else settings
            server = await asyncio.to_thread(resolve_url, used, url)
            if server.kind == "embedded":
                sys.stderr.write(f"{server.line}\n")
            try:
                stores = await open_stores(server, used, namespace=namespace, credential_provider=credential_provider)
            except BaseException:
                server.close()
                raise
            return cls(stores, app, settings=used, on_close=server.close)

        return Connecting(open_client)

    @staticmethod
    def sync(
        url: str | None = None,
        *,
        app: DeclaredKinds | None = None,
        namespace: str | None = None,
        settings: Settings | None = None,
        credential_provider: Any = None,
    ) -> SyncLashClient:
        """``connect`` for code without a loop: a client with the same verbs that block. Close it, or use ``with``."""
        return SyncLashClient(
            LashClient.connect(
                url, app=app, namespace=namespace, settings=settings, credential_provider=credential_provider
            ).open
        )

    async def close(self) -> None:
        """Give the connections back. May be called twice."""
        await self.stores.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    async def __aenter__(self) -> LashClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- start -------------------------------------------------------------------------------------

    async def enqueue(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[EnqueueOptions]
    ) -> ProcessHandle:
        """Start a process and return its handle; safe to repeat with the same ``process_id``.

        The same id, kind, params and label again answer with the existing process, also when the manifest has
        changed since (decision 17).

        Args:
            kind: what a worker's app declares.
            params: any JSON value, pydantic model or dataclass; checked when the kind's schema is known.
            process_id: 1-200 bytes; a fresh one that sorts by time when absent.
            options: see ``EnqueueOptions``.

        Raises:
            UnknownKindError: no manifest and no disposition; nothing was written.
            InvalidArgumentError: params, id or an option; ``field`` says which.
            RegistrationConflictError: the id exists with other content.
            OutcomeUnknownError: the reply was lost; repeat with the same id.
        """
        plan = await self._plan(kind, options)
        registration = plan.registration(new_process_id() if process_id is None else process_id, params)
        outcome = (await self._register([registration]))[0]
        if outcome.error is not None:
            raise outcome.error
        return ProcessHandle(self.stores, registration.id, created=outcome.status == "created")

    async def prepare(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[EnqueueOptions]
    ) -> ProcessRegistration:
        """The registration that ``enqueue`` would send, checked as far as a client can; nothing is written."""
        plan = await self._plan(kind, options)
        return plan.registration(new_process_id() if process_id is None else process_id, params).validated()

    async def enqueue_many(
        self,
        kind: str,
        params_list: Sequence[Any],
        ids: Sequence[str] | None = None,
        **options: Unpack[EnqueueOptions],
    ) -> tuple[EnqueuedItem, ...]:
        """Start many processes of one kind, batched by partition; atomic per item, safe to repeat with ``ids``.

        Args:
            kind: what a worker's app declares.
            params_list: one entry an item.
            ids: one id an item; fresh ones when absent.
            options: for all items, see ``EnqueueOptions``.

        Returns:
            Per item, in order: created, exists, or error with the error.

        Raises:
            UnknownKindError, InvalidArgumentError: what concerns all items; nothing was written.
        """
        if ids is not None and len(ids) != len(params_list):
            raise InvalidArgumentError(
                f"ids has {len(ids)} items and params_list {len(params_list)}", field="ids", limit=len(params_list)
            )
        plan = await self._plan(kind, options)
        items: builtins.list[EnqueuedItem] = []
        all_ids = [new_process_id() for _ in params_list] if ids is None else ids
        chunks = [slice(start, start + _CHUNK_ITEMS) for start in range(0, len(params_list), _CHUNK_ITEMS)]
        for start in range(0, len(chunks), _CHUNKS_AT_ONCE):
            group = chunks[start : start + _CHUNKS_AT_ONCE]
            parts = (self._enqueue_part(plan, params_list[chunk], all_ids[chunk]) for chunk in group)
            for part in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(part, BaseException):
                    raise part
                items += part
        return tuple(items)

    async def _plan(self, kind: str, options: EnqueueOptions) -> StartPlan:
        manifest = await self._kinds.resolve(kind, options.get("disposition"))
        return StartPlan(manifest, options, self._limits)

    async def _enqueue_part(
        self, plan: StartPlan, params_list: Sequence[Any], ids: Sequence[str]
    ) -> Sequence[EnqueuedItem]:
        items: dict[int, EnqueuedItem] = {}
        good: dict[int, ProcessRegistration] = {}
        for index, (process_id, params) in enumerate(zip(ids, params_list, strict=True)):
            try:
                good[index] = plan.registration(process_id, params)
            except LashError as error:
                items[index] = EnqueuedItem("error", process_id, error=error)
        outcomes = await self._register(tuple(good.values()))
        for index, outcome in zip(good, outcomes, strict=True):
            handle = None
            if outcome.error is None:
                handle = ProcessHandle(self.stores, outcome.process_id, created=outcome.status == "created")
            items[index] = EnqueuedItem(outcome.status, outcome.process_id, handle, outcome.error)
        return [items[index] for index in range(len(ids))]

    async def _register(self, registrations: Sequence[ProcessRegistration]) -> Sequence[RegisterOutcome]:
        """Register; a conflict whose row is the same request answers as existing (decision 17)."""
        if not registrations:
            return ()
        outcomes = await self.stores.process_registry.register_processes(registrations)
        conflicts = [
            index for index, outcome in enumerate(outcomes) if isinstance(outcome.error, RegistrationConflictError)
        ]
        if not conflicts:
            return outcomes
        rows = await self.stores.process_registry.get_processes([registrations[index].id for index in conflicts])
        resolved = [*outcomes]
        for index, row in zip(conflicts, rows, strict=True):
            if row is not None and same_request(row, registrations[index]):
                resolved[index] = RegisterOutcome("exists", row.id, row)
        return resolved

    async def retry(self, process_id: str, new_id: str | None = None, *, force: bool = False) -> ProcessHandle:
        """Run a failed, cancelled or abandoned process again, as a new process with the same request.

        The new process is called ``<id>.retry-<n>`` and is caused by the first one. While a retry is under way, to ask
        again answers that one (``created`` False); after it has ended without success, the next number is taken.

        Args:
            process_id: of the first process or of one of its retries.
            new_id: another id for the new process; the same one again is the same process.
            force: also for one that has completed.

        Raises:
            UnknownProcessError. NotRetryableError: it runs, or it or its last retry has completed.
            RegistrationConflictError: ``new_id`` exists with other content. InvalidArgumentError: it is not legal.
        """
        name = self.handle(process_id).process_id
        found = await retry_registration(self.stores.process_registry, name, new_id, force=force)
        if isinstance(found, ProcessRecord):
            return ProcessHandle(self.stores, found.id, created=False)
        outcome = (await self.stores.process_registry.register_processes([found]))[0]
        if outcome.error is not None:
            raise outcome.error
        return ProcessHandle(self.stores, found.id, created=outcome.status == "created")

    async def resolve(self, token: str | AwaitEventKey, value: Any = None) -> ResolveOutcome:
        """Resolve an await-event: the answer that a ``ctx.await_event`` token was handed out for.

        The first resolution wins; one that comes before the wait is kept for it.

        Args:
            token: as ``ctx.await_event`` gave it.
            value: any JSON value, pydantic model or dataclass; ``Resolution.err(code, message)`` to refuse.

        Returns:
            ``Accepted``, ``AlreadyResolved`` with the resolution that stands, or ``UnknownOrRevoked``: no such promise,
            its process or session is gone, or the token is not of this namespace.

        Raises:
            InvalidArgumentError: not a token. InvalidJsonError, LimitExceededError: the value.
            SettingsError: this client may not read the secret that tokens are checked with.
        """
        key = AwaitEventKey.from_token(token) if isinstance(token, str) else token
        resolution = value if isinstance(value, Resolution) else Resolution.ok(as_json(value))
        (self._limits or self.settings.store.limits).check_payload_size(json_size(resolution.value), field="value")
        if self.stores.promises.signing_secrets() is None:
            raise SettingsError(
                "this client's role may not read the secret of await-event tokens (lash acl print ROLE)"
            )
        if key.scope.kind == "process" and await self.stores.process_registry.get_process(key.scope.id) is None:
            # A store would keep the answer, but nobody can ask for it any more.
            return UnknownOrRevoked()
        return await StoredAwaitEvents(self.stores.promises).resolve(key, resolution)

    # -- find --------------------------------------------------------------------------------------

    def handle(self, process_id: str) -> ProcessHandle:
        """Name a process; nothing is read. Raises: InvalidArgumentError: the id is not legal."""
        return ProcessHandle(self.stores, process_id)

    async def get(self, process_id: str) -> ProcessRecord | None:
        """The row, or None when there is none."""
        return await self.stores.process_registry.get_process(self.handle(process_id).process_id)

    async def count(self, **facets: Unpack[ListOptions]) -> int:
        """Number of matching rows; O(1) when only the status is given."""
        return await self.stores.process_registry.count_processes(list_filter(facets))

    async def why(self, process_id: str) -> Why:
        """Why a process is where it is. Raises: UnknownProcessError."""
        return await self.handle(process_id).why()

    def events(
        self, process_id: str, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None
    ) -> AsyncGenerator[ProcessEvent, None]:
        """Events of a process; see ``ProcessHandle.events``."""
        return self.handle(process_id).events(after, follow=follow, on_gap=on_gap)

    async def list(self, *, limit: int = 50, cursor: str | None = None, **facets: Unpack[ListOptions]) -> ProcessPage:
        """A bounded page of matching rows in no stated order, of any status unless told otherwise.

        Args:
            limit: rows at most, 1 to the store's page limit.
            cursor: ``next_cursor`` of the page before.
            facets: see ``ListOptions``.

        Raises:
            InvalidArgumentError: the limit. InvalidCursorError, InvalidFilterError.
        """
        page_max = self.settings.store.limits.page_max
        if not 1 <= limit <= page_max:
            raise InvalidArgumentError(
                f"limit is {limit}; it must be 1 to {page_max}", field="limit", value=limit, limit=page_max
            )
        wanted = list_filter(facets)
        items: builtins.list[ProcessRecord] = []
        for _ in range(_PAGES_MAX):
            page = await self.stores.process_registry.list_processes_page(wanted, cursor, limit - len(items))
            items += page.items
            cursor = page.next_cursor
            if cursor is None or len(items) >= limit:
                break
        return ProcessPage(items=tuple(items), next_cursor=cursor)

    # -- sessions ----------------------------------------------------------------------------------

    def session(self, session_id: str) -> SessionHandle:
        """Name a session; nothing is read, and it need not be there. Raises: InvalidArgumentError: the id."""
        return SessionHandle(self.stores, session_id)

    async def list_sessions(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """A page of sessions in no stated order, and the cursor of the next one. Raises: InvalidCursorError."""
        return await self.stores.session_store_factory.list_sessions(cursor, limit)
