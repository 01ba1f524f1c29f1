"""``SyncLashClient``: the client's verbs for code without an event loop, on a loop in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from lash_core.client_enqueue import EnqueueOptions
from lash_core.client_handle import OnGap, ProcessHandle
from lash_core.client_loop_thread import LoopThread
from lash_core.client_session_sync import SyncSessionHandle
from lash_core.client_triggers_sync import SyncTriggerClient
from lash_core.errors import StoreClosedError
from lash_core.model.await_event import AwaitEventKey, ResolveOutcome
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.event import ProcessEvent
from lash_core.model.process_filter import FilterStatus
from lash_core.model.receipts import CancelReceipt, SignalReceipt
from lash_core.model.record import ProcessRecord
from lash_core.model.reports import ChangeCursor, ProcessChanges, ProcessPage
from lash_core.runtime.observation.process_views import FleetProcessSnapshot
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.why import Why

if TYPE_CHECKING:
    from lash_core.client import EnqueuedItem, LashClient
    from lash_core.client_listing import ListOptions


class SyncProcessHandle:
    """``ProcessHandle`` whose verbs block."""

    def __init__(self, handle: ProcessHandle, thread: LoopThread) -> None:
        self._handle = handle
        self._thread = thread

    def __repr__(self) -> str:
        return f"SyncProcessHandle({self.process_id!r}, created={self.created})"

    @property
    def process_id(self) -> str:
        """The id."""
        return self._handle.process_id

    @property
    def id(self) -> str:
        """The process id, under the name that rows and receipts have it."""
        return self._handle.process_id

    @property
    def created(self) -> bool | None:
        """True when this call started the process, False when it was there, None when it was only named."""
        return self._handle.created

    def record(self) -> ProcessRecord:
        """See ``ProcessHandle.record``."""
        return self._thread.call(self._handle.record())

    def status(self) -> str:
        """See ``ProcessHandle.status``."""
        return self._thread.call(self._handle.status())

    def output(self, timeout: float | None = None) -> AnyAwaitOutput:
        """See ``ProcessHandle.output``."""
        return self._thread.call(self._handle.output(timeout))

    def result(self, timeout: float | None = None) -> Any:
        """See ``ProcessHandle.result``."""
        return self._thread.call(self._handle.result(timeout))

    def cancel(self, reason: str | None = None, *, requested_by: str | None = None) -> CancelReceipt:
        """See ``ProcessHandle.cancel``."""
        return self._thread.call(self._handle.cancel(reason, requested_by=requested_by))

    def signal(self, name: str, payload: Any = None, *, signal_id: str | None = None) -> SignalReceipt:
        """See ``ProcessHandle.signal``."""
        return self._thread.call(self._handle.signal(name, payload, signal_id=signal_id))

    def why(self) -> Why:
        """See ``ProcessHandle.why``."""
        return self._thread.call(self._handle.why())

    def events(self, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None) -> Generator[ProcessEvent]:
        """See ``ProcessHandle.events``."""
        return self._thread.iterate(self._handle.events(after, follow=follow, on_gap=on_gap))


class SyncLashClient:
    """``LashClient`` whose verbs block; made by ``LashClient.sync(...)``, connected when it is made.

    May be used from several threads. Close it, or use it in ``with``.
    """

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, LashClient]]) -> None:
        self._thread = LoopThread()
        try:
            self._client = self._thread.call(connect())
        except BaseException:
            self._thread.stop()
            raise
        self.triggers = SyncTriggerClient(self._client.triggers, self._thread.call)

    def __enter__(self) -> SyncLashClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back and stop the thread. May be called twice, and while other threads call.

        Their calls end with an error; one that is made from then on is a ``StoreClosedError``.
        """
        with suppress(StoreClosedError):  # closed already
            self._thread.call(self._client.close())
        self._thread.stop()

    def enqueue(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[EnqueueOptions]
    ) -> SyncProcessHandle:
        """See ``LashClient.enqueue``."""
        work = self._client.enqueue(kind, params, process_id=process_id, **options)
        return SyncProcessHandle(self._thread.call(work), self._thread)

    def enqueue_many(
        self,
        kind: str,
        params_list: Sequence[Any],
        ids: Sequence[str] | None = None,
        **options: Unpack[EnqueueOptions],
    ) -> tuple[EnqueuedItem, ...]:
        """See ``LashClient.enqueue_many``; ``handle(item.process_id)`` gives a handle that blocks."""
        return self._thread.call(self._client.enqueue_many(kind, params_list, ids, **options))

    def retry(self, process_id: str, new_id: str | None = None, *, force: bool = False) -> SyncProcessHandle:
        """See ``LashClient.retry``."""
        return SyncProcessHandle(self._thread.call(self._client.retry(process_id, new_id, force=force)), self._thread)

    def resolve(self, token: str | AwaitEventKey, value: Any = None) -> ResolveOutcome:
        """See ``LashClient.resolve``."""
        return self._thread.call(self._client.resolve(token, value))

    def handle(self, process_id: str) -> SyncProcessHandle:
        """See ``LashClient.handle``."""
        return SyncProcessHandle(self._client.handle(process_id), self._thread)

    def get(self, process_id: str) -> ProcessRecord | None:
        """See ``LashClient.get``."""
        return self._thread.call(self._client.get(process_id))

    def count(self, **facets: Unpack[ListOptions]) -> int:
        """See ``LashClient.count``."""
        return self._thread.call(self._client.count(**facets))

    def why(self, process_id: str) -> Why:
        """See ``LashClient.why``."""
        return self._thread.call(self._client.why(process_id))

    def events(
        self, process_id: str, after: int = 0, *, follow: bool = False, on_gap: OnGap | None = None
    ) -> Generator[ProcessEvent]:
        """See ``LashClient.events``."""
        return self._thread.iterate(self._client.events(process_id, after, follow=follow, on_gap=on_gap))

    def list(self, *, limit: int = 50, cursor: str | None = None, **facets: Unpack[ListOptions]) -> ProcessPage:
        """See ``LashClient.list``."""
        return self._thread.call(self._client.list(limit=limit, cursor=cursor, **facets))

    def session(self, session_id: str) -> SyncSessionHandle:
        """See ``LashClient.session``."""
        return SyncSessionHandle(self._client.session(session_id), self._thread)

    def list_sessions(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[SessionSummary, ...], str | None]:
        """See ``LashClient.list_sessions``."""
        return self._thread.call(self._client.list_sessions(limit=limit, cursor=cursor))

    def fleet(self, *, limit: int = 50, events: int = 0, status: FilterStatus = "any") -> FleetProcessSnapshot:
        """See ``LashClient.fleet``."""
        return self._thread.call(self._client.fleet(limit=limit, events=events, status=status))

    def changes(
        self,
        cursor: ChangeCursor | str | None = None,
        *,
        name: str | None = None,
        follow: bool = False,
        limit: int | None = None,
    ) -> Generator[ProcessChanges]:
        """See ``LashClient.changes``."""
        return self._thread.iterate(self._client.changes(cursor, name=name, follow=follow, limit=limit))

    def forget_projector(self, name: str) -> bool:
        """See ``LashClient.forget_projector``."""
        return self._thread.call(self._client.forget_projector(name))
