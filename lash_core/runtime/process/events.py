"""Events that a process function appends to its own log, once over all attempts."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, LashError, ReplayKeyConflictError
from lash_core.model.base import JsonValue
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, Replay
from lash_core.model.event_type import CORE_BY_NAME
from lash_core.runtime.process.verbs import RunVerbs


class EventWriter:
    """Appends the events of one run."""

    __slots__ = ("_verbs",)

    def __init__(self, verbs: RunVerbs) -> None:
        self._verbs = verbs

    async def emit(self, event_type: str, payload: JsonValue, key: str | None) -> ProcessEvent:
        """See ``ProcessContext.emit``."""
        verbs = self._verbs
        self._check(event_type)
        name = f"emit#{event_type}:{verbs.count(f'emit {event_type}')}" if key is None else f"emit:{key}"
        replay_key = verbs.key(name)
        request = ProcessEventAppendRequest(
            event_type=event_type,
            payload=payload,
            replay=Replay(key=replay_key),
            wake_target_scope=verbs.run.context.wake_target_scope,
        )
        with verbs.working(), verbs.calling():
            stored = await self._stored(event_type, replay_key)
            if stored is not None and (key is None or stored.payload == payload):
                return stored
            await verbs.begin()
            try:
                result = await verbs.run.registry.append_event(verbs.process_id, request, lease=verbs.lease())
            except ReplayKeyConflictError:
                stored = None if key is not None else await self._find(replay_key)
                if stored is None:
                    raise
                # Nobody named this event: what an earlier attempt said of this point stands.
                return stored
            except LashError as error:
                verbs.store_error = error
                raise
        return result.event

    async def _stored(self, event_type: str, replay_key: str) -> ProcessEvent | None:
        """The event as an earlier attempt wrote it; asks only where there was one, and the log is read once."""
        record, waits = self._verbs.run.context.record, self._verbs.waits
        if waits is None or record is None or record.attempt == 0:
            return None
        return _with_key(await waits.logged(event_type), replay_key)

    async def _find(self, replay_key: str) -> ProcessEvent | None:
        verbs = self._verbs
        return _with_key(await verbs.run.registry.events_after(verbs.process_id, 0), replay_key)

    def _check(self, event_type: str) -> None:
        declared = self._verbs.run.registration.event_type(event_type)
        terminal = declared is not None and declared.semantics.terminal is not None
        if terminal or event_type in CORE_BY_NAME:
            raise InvalidArgumentError(
                f"event type `{event_type}` cannot be emitted by a process function",
                field="event_type",
                value=event_type,
                process_id=self._verbs.process_id,
            )


def _with_key(events: tuple[ProcessEvent, ...], replay_key: str) -> ProcessEvent | None:
    return next((event for event in events if event.replay_key == replay_key), None)
