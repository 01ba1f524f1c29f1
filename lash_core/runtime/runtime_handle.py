"""A runtime that several parts of a program hold, until one of them alone is left.

``docs/contracts/sessions.md`` 2.8.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lash_core.errors.session import SessionError

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


class _Shared:
    """What all handles of one runtime have in common."""

    def __init__(self, runtime: LashRuntime) -> None:
        self.runtime: LashRuntime | None = runtime
        self.lock = asyncio.Lock()
        self.handles: weakref.WeakSet[RuntimeHandle] = weakref.WeakSet()


class RuntimeHandle:
    """One holder's handle. Belongs to the runtime's event loop; a handle that is dropped holds nothing any more.

    Args:
        runtime: what is shared from now on; nobody else works with it.
    """

    def __init__(self, runtime: LashRuntime, *, _beside: _Shared | None = None) -> None:
        self._shared: _Shared = _beside or _Shared(runtime)
        self._shared.handles.add(self)

    def clone(self) -> RuntimeHandle:
        """A handle for another holder.

        Raises:
            SessionError: the runtime was taken back.
        """
        return RuntimeHandle(self._runtime(), _beside=self._shared)

    def release(self) -> None:
        """Hold it no more. Safe to repeat."""
        self._shared.handles.discard(self)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[LashRuntime]:
        """The runtime, for this holder alone while it works with it.

        Raises:
            SessionError: the runtime was taken back.
        """
        async with self._shared.lock:
            yield self._runtime()

    def try_into_runtime(self) -> LashRuntime | RuntimeHandle:
        """The runtime, when this is its only handle and nobody works with it; else this handle."""
        runtime = self._runtime()
        if self._shared.lock.locked() or set(self._shared.handles) != {self}:
            return self
        self._shared.runtime = None
        self.release()
        return runtime

    def _runtime(self) -> LashRuntime:
        if self._shared.runtime is None or self not in self._shared.handles:
            raise SessionError("this handle holds no runtime any more", field="handle")
        return self._shared.runtime
