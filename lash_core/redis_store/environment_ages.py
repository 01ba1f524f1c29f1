"""Environments that rows are about to name stay: their age is refreshed before the row is there (docs/adr/0151)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from lash_core.clock import own_time_ms
from lash_core.errors import InvalidArgumentError, StoreRefusedError
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.redis_store.content import touch_content_call
from lash_core.redis_store.context import RedisContext
from lash_core.store.content_address import digest_of
from lash_core.store.process_env_store import ENVIRONMENT_FAMILY

REFRESHED_FOR_MS = 3_600_000
"""An environment that this client refreshed within the hour is not refreshed again: the sweep waits for a day."""

REFS_MAX = 1_000
"""Environments that a client remembers; a forgotten one costs a round trip."""


class EnvironmentAges:
    """Refreshes environments, once an hour each. The empty one is never swept and costs nothing."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._refreshed: OrderedDict[str, float] = OrderedDict()

    async def refresh(self, env_refs: Iterable[str | None]) -> None:
        """Refresh what is named here and there.

        A server that refuses (an enqueuer's role, a full server) is no reason to refuse the row: then the environment
        is as safe as its last put made it.

        Raises:
            StoreUnreachableError, OutcomeUnknownError: no answer.
        """
        now_ms = own_time_ms()
        due = {ref for ref in env_refs if ref is not None and ref != EMPTY_ENV_REF and self._is_due(ref, now_ms)}
        if not due:
            return
        calls = [
            touch_content_call(self._context.keyspace, ENVIRONMENT_FAMILY, digest)
            for digest in filter(None, map(_digest, sorted(due)))
        ]
        for ref in due:
            self._refreshed[ref] = now_ms
            self._refreshed.move_to_end(ref)
        while len(self._refreshed) > REFS_MAX:
            self._refreshed.popitem(last=False)
        try:
            await self._context.scripts.run(calls)
        except StoreRefusedError:
            return
        except BaseException:
            for ref in due:
                self._refreshed.pop(ref, None)
            raise

    def _is_due(self, ref: str, now_ms: float) -> bool:
        last = self._refreshed.get(ref)
        # A test that moves the server's clock does not move ours.
        return last is None or now_ms - last > REFRESHED_FOR_MS or self._context.clock_offset


def _digest(ref: str) -> str | None:
    try:
        return digest_of(ref, ENVIRONMENT_FAMILY)
    except InvalidArgumentError:
        return None
