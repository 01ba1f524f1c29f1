"""What an async generator has ready, without waiting: so that a burst of events is one write and not many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ReadyItems(Generic[T]):
    """Takes items from a generator: first one, for which it waits, then those that need no waiting.

    The generator's next step is begun at once and left where it waits; ``wait`` goes on there. So no item is taken
    that is not handed out, and no task is made for one.

    Args:
        items: belongs to this object from now on. Everything is called in one task.
    """

    def __init__(self, items: AsyncGenerator[T]) -> None:
        self._items = items
        self._begun: _BegunStep[T] | None = None

    async def wait(self) -> T:
        """The next item. Raises: StopAsyncIteration: there is none any more. What the generator raises."""
        begun, self._begun = self._begun, None
        return await (begun or anext(self._items))

    def take(self) -> T | None:
        """The next item if it is there, else None. Raises: as ``wait``."""
        if self._begun is not None:
            return None
        step = _BegunStep(self._items)
        if step.begin():
            return step.value
        self._begun = step
        return None

    async def aclose(self) -> None:
        """End the generator."""
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun.cancel()
        await self._items.aclose()


class _BegunStep(Generic[T]):
    """One ``__anext__`` of a generator that was run up to where it waits. Awaiting it goes on from there."""

    def __init__(self, items: AsyncGenerator[T]) -> None:
        self._step: Any = items.__anext__()
        self._awaits: Any = None
        self._value: T | None = None

    @property
    def value(self) -> T | None:
        """The item, when the step has ended."""
        return self._value

    def begin(self) -> bool:
        """Run it; True when it has ended without waiting."""
        try:
            self._awaits = self._step.send(None)
        except StopIteration as ended:
            self._value = ended.value
            return True
        return False

    async def cancel(self) -> None:
        """End the wait as the cancel of a task would."""
        task = asyncio.current_task()
        asked = 0 if task is None else task.cancelling()
        try:
            self._awaits = self._step.throw(asyncio.CancelledError())
            await self
        except (StopIteration, StopAsyncIteration):
            pass
        except asyncio.CancelledError:
            if task is not None and task.cancelling() > asked:
                # Not ours: the caller itself is cancelled meanwhile.
                raise

    def __await__(self) -> Generator[Any, Any, T]:
        awaits = self._awaits
        while True:
            try:
                sent = yield awaits
            except BaseException as error:  # noqa: BLE001 - a cancel and all else goes to the step, which decides
                advance, given = self._step.throw, error
            else:
                advance, given = self._step.send, sent
            try:
                awaits = advance(given)
            except StopIteration as ended:
                return ended.value
