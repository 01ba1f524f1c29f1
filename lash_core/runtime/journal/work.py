"""When a run works and when it rests, as far as its effects are concerned (docs/adr/0091)."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

from lash_core.store.effect_host import EffectRun

_T = TypeVar("_T")


class EffectWork:
    """Around one effect: the run works, but for the time in which the effect only waits.

    What is written before and after a wait belongs to the work: a run that is parked in between would be due when its
    other waits are over, and not when this one is.
    """

    __slots__ = ("_run", "_working")

    def __init__(self, run: EffectRun) -> None:
        self._run = run
        self._working: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        working = self._run.working()
        working.__enter__()
        self._working = working
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.__exit__(None, None, None)

    async def rest(self, wait: Awaitable[_T]) -> _T:
        """Await what only waits; the run works again when it is over.

        Raises:
            asyncio.CancelledError: the run ends here.
        """
        self.__exit__(None, None, None)
        try:
            return await wait
        finally:
            self.__enter__()
