"""All in-memory stores of one program."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from lash_core.clock import Clock, SystemClock, VirtualClock
from lash_core.errors import InvalidArgumentError
from lash_core.memory_store.attachment_manifest import MemoryAttachmentManifest
from lash_core.memory_store.background_tasks import MemoryBackgroundTaskStore
from lash_core.memory_store.content_stores import MemoryArtifactStore, MemoryAttachmentStore, MemoryProcessEnvStore
from lash_core.memory_store.directory import MemoryFleetDirectory
from lash_core.memory_store.effect_journal import MemoryEffectJournal
from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.memory_store.login_tickets import MemoryLoginTickets
from lash_core.memory_store.promise_store import MemoryPromiseStore
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.session_factory import MemorySessionFactory
from lash_core.memory_store.session_notices import MemorySessionNotices
from lash_core.memory_store.sessions_state import SessionsState
from lash_core.memory_store.triggers import MemoryTriggerStore
from lash_core.model.limits import Limits
from lash_core.model.owner import ProcessTable
from lash_core.runtime.attachment_roots import AttachmentRoots
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.runtime.registry_roots import RegistryRoots
from lash_core.runtime.trigger_roots import TriggerRoots
from lash_core.store.content_sweep import ContentRoots, SweptContent


class InMemoryStores:
    """The stores of one program, with the attributes of ``RedisStores``; gone with the program.

    Args:
        clock: the stores' clock; a ``VirtualClock`` makes ``advance_clock`` work. The machine's by default.
        process_table: see ``MemoryProcessRegistry``.
        limits: what is refused.
    """

    def __init__(
        self, clock: Clock | None = None, *, process_table: ProcessTable | None = None, limits: Limits | None = None
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.env_store = MemoryProcessEnvStore(self.clock)
        self.artifacts = MemoryArtifactStore(self.clock)
        self.attachments = MemoryAttachmentStore(self.clock)
        self.attachment_manifest = MemoryAttachmentManifest(self.clock)
        self.triggers = MemoryTriggerStore(self.clock, payload_limits=limits)
        self.process_registry = MemoryProcessRegistry(
            self.clock,
            process_table,
            limits=limits,
            environments=self.env_store,
        )
        self.session_notices = MemorySessionNotices(self.process_registry.state.notices.queued)
        sessions = SessionsState(
            self.clock,
            registry=self.process_registry.state,
            manifest=self.attachment_manifest,
            notices=self.session_notices,
            on_delete=self._forget_session,
        )
        self.session_store_factory = MemorySessionFactory(sessions)
        self.sessions = self.session_store_factory
        self.background_tasks = MemoryBackgroundTaskStore(self.clock, sessions.sessions.__contains__)
        self.ready_sessions = self.session_store_factory
        self.process_registry.use_session_store_factory(self.session_store_factory)
        self.process_registry.state.on_wake = self.session_store_factory.deliver_wake
        self.effect_journal = MemoryEffectJournal(self.process_registry)
        self.promises = MemoryPromiseStore(self.process_registry)
        self.effect_host = JournaledEffectHost(self.effect_journal, self.promises)
        self.directory = MemoryFleetDirectory(self.clock)
        self.login_tickets = MemoryLoginTickets(self.clock)
        self.live_replay = InMemoryLiveReplayStore(clock=self.clock)
        self.process_registry.use_trigger_store(self.triggers)
        self.swept_contents: tuple[SweptContent, ...] = (self.env_store, self.artifacts, self.attachments)
        self.content_roots: tuple[ContentRoots, ...] = (
            RegistryRoots(self.process_registry),
            self.session_store_factory,
            AttachmentRoots(self.attachment_manifest, self.process_registry),
            self.env_store,
            TriggerRoots(self.triggers),
        )

    def _forget_session(self, session_id: str) -> None:
        self.triggers.forget_session(session_id)
        self.attachment_manifest.forget_session(session_id)
        self.background_tasks.forget_session(session_id)
        self.live_replay.forget_session_now(session_id)

    async def advance_clock(self, ms: int) -> None:
        """Move the clock forward.

        Raises:
            InvalidArgumentError: the stores run on a real clock.
        """
        if not isinstance(self.clock, VirtualClock):
            raise InvalidArgumentError("advance_clock needs stores on a VirtualClock", field="clock")
        self.clock.advance_ms(ms)

    async def close(self) -> None:
        """End what is subscribed. May be called twice."""
        await self.live_replay.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
