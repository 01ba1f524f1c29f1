"""Promises of turns that ended long ago: forgotten now and then, so that a session of many turns stays in its bound.

A session has room for 10,000 promises (``Limits.promises_max``); a turn leaves its sealed gate and its end.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lash_core.errors import LashError
from lash_core.model.execution_scope import ExecutionScope

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)

KEPT_TURNS = 512
"""Newest turns whose promises stay: who waits for an older one, or cancels it, is too late."""
FORGET_EVERY_TURNS = 128
"""Turns of a session between two rounds. Stamps name the newest thousand turns, so no turn is passed over."""


async def forget_old_turns(runtime: LashRuntime) -> int:
    """Forget the promises of old turns when a round is due; returns how many. What fails is done by the next round."""
    store, turns = runtime.store, runtime.state.turn_index
    if store is None or turns <= KEPT_TURNS or turns % FORGET_EVERY_TURNS:
        return 0
    session_id = runtime.session_id
    try:
        old = await store.list_stamped_turns(session_id, KEPT_TURNS, 2 * FORGET_EVERY_TURNS)
        scopes = [ExecutionScope.turn(session_id, turn_id) for turn_id in old]
        return await runtime.host.core.control.effect_host.await_events.forget_scopes(session_id, scopes)
    except (LashError, OSError):
        _log.warning("promises of old turns of session %s stay for now", session_id, exc_info=True)
        return 0
