"""All stores of one Redis deployment and namespace, over one set of connections."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

from redis.credentials import CredentialProvider

from lash_core.errors import InvalidArgumentError
from lash_core.file_store.tiered_attachments import TieredAttachmentStore
from lash_core.redis_store.artifact_store import RedisArtifactStore
from lash_core.redis_store.attachment_manifest import RedisAttachmentManifest
from lash_core.redis_store.attachment_store import RedisAttachmentStore
from lash_core.redis_store.attachments_folder import open_attachments
from lash_core.redis_store.background_tasks import RedisBackgroundTaskStore
from lash_core.redis_store.commands import Command
from lash_core.redis_store.content_roots import RedisHeadRoots, RedisRowRoots, RedisTriggerRoots
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.directory import RedisFleetDirectory
from lash_core.redis_store.effect_journal import RedisEffectJournal
from lash_core.redis_store.keys import TriggerKeys, clock_offset_key
from lash_core.redis_store.layout import open_context
from lash_core.redis_store.live_replay import RedisLiveReplayStore
from lash_core.redis_store.login_tickets import RedisLoginTickets
from lash_core.redis_store.process_env_store import RedisProcessEnvStore
from lash_core.redis_store.promise_store import RedisPromiseStore
from lash_core.redis_store.registry import RedisProcessRegistry
from lash_core.redis_store.session_blobs import RedisSessionBlobs
from lash_core.redis_store.session_factory import RedisSessionStoreFactory
from lash_core.redis_store.session_notices import RedisSessionNotices
from lash_core.redis_store.trigger_store import RedisTriggerStore
from lash_core.runtime.attachment_roots import AttachmentRoots
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.settings import StoreSettings
from lash_core.store.content_sweep import ContentRoots, SweptContent


class RedisStores:
    """The stores of one namespace.

    Made by ``await RedisStores.connect(url)`` or ``async with RedisStores.connect(url) as stores``; nothing is
    connected before.
    """

    def __init__(
        self,
        context: RedisContext,
        origin: PendingStores | None = None,
        attachments: RedisAttachmentStore | TieredAttachmentStore | None = None,
    ) -> None:
        self.context = context
        self._origin = origin
        self.process_registry = RedisProcessRegistry(context)
        self.directory = RedisFleetDirectory(context)
        self.env_store = RedisProcessEnvStore(context)
        self.artifacts = RedisArtifactStore(context)
        self.attachments = attachments or RedisAttachmentStore(context)
        self.attachment_manifest = RedisAttachmentManifest(context)
        self.session_store_factory = RedisSessionStoreFactory(context)
        self.sessions = self.session_store_factory
        self.ready_sessions = self.session_store_factory
        self.session_blobs = RedisSessionBlobs(context)
        self.session_notices = RedisSessionNotices(context)
        self.background_tasks = RedisBackgroundTaskStore(context)
        self.effect_journal = RedisEffectJournal(context, self.process_registry)
        self.promises = RedisPromiseStore(context, self.process_registry.done_channels)
        self.effect_host = JournaledEffectHost(self.effect_journal, self.promises)
        self.swept_contents: tuple[SweptContent, ...] = (
            self.env_store,
            self.artifacts,
            self.attachments,
            self.session_blobs,
        )
        self.content_roots: tuple[ContentRoots, ...] = (
            RedisRowRoots(context),
            RedisHeadRoots(context),
            AttachmentRoots(self.attachment_manifest, self.process_registry),
            self.env_store,
            self.session_blobs,
            RedisTriggerRoots(context),
        )
        self.live_replay = RedisLiveReplayStore(context)
        self.triggers = RedisTriggerStore(context)
        self.login_tickets = RedisLoginTickets(context)

    @classmethod
    def connect(
        cls,
        url: str,
        namespace: str = "lash",
        settings: StoreSettings | None = None,
        *,
        credential_provider: CredentialProvider | None = None,
        test_clock: bool = False,
    ) -> PendingStores:
        """Stores of ``url``, to be awaited or entered.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.
            namespace: prefix of every key; used when ``settings`` does not name one itself.
            settings: how to talk to Redis.
            credential_provider: where user and password come from, instead of the URL.
            test_clock: render the scripts with a clock that ``advance_clock`` moves. Tests only.

        Raises:
            StoreUnreachableError, StoreRefusedError, SettingsError: when awaited or entered.
        """
        effective = settings or StoreSettings()
        if effective.namespace == "lash" and namespace != "lash":
            effective = effective.model_copy(update={"namespace": namespace})
        return PendingStores(url, effective, credential_provider, test_clock=test_clock)

    async def advance_clock(self, ms: int) -> None:
        """Move the clock of this namespace's scripts forward.

        Raises:
            InvalidArgumentError: the stores were not opened with ``test_clock``, or ``ms`` is negative.
        """
        if not self.context.clock_offset:
            raise InvalidArgumentError("advance_clock needs stores opened with test_clock=True", field="test_clock")
        if ms < 0:
            raise InvalidArgumentError(
                f"advance_clock: {ms} is negative; a clock only goes forward", field="ms", value=ms
            )
        keyspace = self.context.keyspace
        offsets = [keys.clock_offset for keys in keyspace.partitions]
        offsets += [clock_offset_key(f"{tag}:") for tag in keyspace.content_tags]
        offsets.append(TriggerKeys.of(keyspace.namespace).clock_offset)
        await self.context.connection.pipeline([Command(key, ("INCRBY", key, ms * 1_000)) for key in offsets])

    async def open_sibling(self) -> RedisStores:
        """The same server and namespace on connections of their own, for another event loop. The caller closes them.

        Raises:
            StoreUnreachableError, StoreRefusedError: the server does not answer or refuses.
            InvalidArgumentError: these stores were not made by ``connect``.
        """
        if self._origin is None:
            raise InvalidArgumentError("only stores made by RedisStores.connect can be opened again", field="stores")
        return await self._origin.again()

    async def close(self) -> None:
        """Give every connection back. May be called twice."""
        await self.process_registry.close()
        await self.session_notices.close()
        await self.live_replay.close()
        await self.context.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class PendingStores:
    """Stores that are not connected yet: await it, or enter it and they are closed on exit."""

    def __init__(
        self, url: str, settings: StoreSettings, credential_provider: CredentialProvider | None, *, test_clock: bool
    ) -> None:
        self._url = url
        self._settings = settings
        self._credential_provider = credential_provider
        self._test_clock = test_clock
        self._stores: RedisStores | None = None

    def __await__(self) -> Generator[Any, None, RedisStores]:
        return self._open().__await__()

    async def __aenter__(self) -> RedisStores:
        self._stores = await self._open()
        return self._stores

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stores is not None:
            await self._stores.close()

    async def _open(self) -> RedisStores:
        context = await open_context(
            self._url, self._settings, credential_provider=self._credential_provider, test_clock=self._test_clock
        )
        try:
            return RedisStores(context, self, await open_attachments(context))
        except BaseException:
            await context.connection.close()
            raise

    async def again(self) -> RedisStores:
        """Open once more, in the running loop."""
        return await self._open()
