"""``RuntimeExecutionContext``: what code of a run or a turn sees of the runtime (docs/contracts/execution_context.md).

``ProcessContext`` is its face in ``@app.process``; engines and protocols use this one.
"""

from __future__ import annotations

from typing import TypeVar

from lash_core.model.turn_activity import TurnEvent
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.context.children import ChildStarts
from lash_core.runtime.context.handles import HandleOperations
from lash_core.runtime.context.tools import ToolLookups
from lash_core.runtime.context.waits import ProcessWaits
from lash_core.runtime.turn_activities import send_turn_activity
from lash_core.runtime.turn_context import RuntimeNamedPhase, TurnContext
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.process_env_store import ProcessExecutionEnvStore
from lash_core.store.trigger_store import TriggerStore

T = TypeVar("T")


class RuntimeExecutionContext(ChildStarts, HandleOperations, ProcessWaits, ToolLookups):
    """Immutable but for the set of processes that the run started, which its copies share.

    Args:
        session_id: the session that runs.
        dispatch: services shared by all contexts of the run.
        process_env_store: where environments are captured.
        attachment_store: attachments, as the session or process sees them.
        chronological_projection: the history as it was when the run began, or what makes it: a long one is made for
            those who ask only.
        protocol_extension: a live object of the protocol; never stored, absent after a rebuild.
        turn_context: live inputs of plugins.

    Keyword arguments are those of the ``with_…`` methods, which answer copies.
    """

    @property
    def attachment_store(self) -> AttachmentStore | SessionAttachments:
        """Attachments: of the session alone where the host keeps references, else all bytes of the store."""
        return self._attachment_store

    @property
    def process_env_store(self) -> ProcessExecutionEnvStore:
        """Captured environments."""
        return self._process_env_store

    @property
    def trigger_store(self) -> TriggerStore | None:
        """Triggers, or None where they are not configured."""
        router = self._dispatch.trigger_router
        return None if router is None else router.store

    @property
    def turn_context(self) -> TurnContext:
        """Live inputs of plugins."""
        return self._turn_context

    def protocol_extension(self, kind: type[T]) -> T | None:
        """The protocol's live extension, if it is one of this type; None for another type and after a rebuild."""
        return None if self._protocol_extension is None else self._protocol_extension.downcast(kind)

    def named_phase(self, phase: str) -> RuntimeNamedPhase:
        """Begin a phase for the turn's probe; it ends when it is left (``with``) or ended."""
        return RuntimeNamedPhase(self._turn_phase_probe, phase)

    async def emit_turn_activity(self, correlation_id: str, event: TurnEvent) -> None:
        """Stream an event of the turn to whoever watches; nobody has to."""
        await send_turn_activity(self._turn_event_sender, correlation_id, event)
