"""What code does with handles: await, signal, cancel, list, grant, revoke, transfer (contract 4.3).

A handle on a process that this run started is enough to await and to cancel it. Any other one is a grant of the session
scope that asks. Replies keep the caller's call id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import LashError
from lash_core.model.base import JsonValue
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessListMode, SignalProcess
from lash_core.model.process_handle import parse_process_handle
from lash_core.model.scope import SessionScope
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.model.tool_output import to_tool_output
from lash_core.runtime.context.errors import error_reply
from lash_core.runtime.context.state import ContextState
from lash_core.runtime.local_executors import ProcessWaitCancelledError
from lash_core.runtime.process.cancel import ProcessCancelRequest
from lash_core.runtime.process.service import ProcessCancelSummary

AWAIT_TOOL = "await_process"
SIGNAL_TOOL = "signal_process"
CANCEL_TOOL = "cancel_process"


class HandleOperations(ContextState):
    """Operations on handles, recorded as tool calls. All raise what ``start_child_process`` raises."""

    async def await_process(self, call_id: str, handle: JsonValue) -> ToolInvocationReply:
        """Wait for a process and answer its outcome as a tool's output (contract 1.8); cancelled with the context."""
        try:
            process_id = parse_process_handle(handle)
            foreign = not self.is_run_local_process(process_id)
            processes, scope = self._dispatch.require_processes(), self.process_scope()
            output = await processes.await_process(self._session_id, process_id, scope, visible_only=foreign)
            reply = ToolInvocationReply(to_tool_output(output))
        except ProcessWaitCancelledError as error:
            reply = ToolInvocationReply.cancelled(str(error))
        except LashError as error:
            reply = error_reply(error, self._dispatch.effect_controller)
        return reply.recorded_as(AWAIT_TOOL, call_id, {"handle": handle})

    async def cancel_process(self, call_id: str, handle: JsonValue, reason: str | None = None) -> ToolInvocationReply:
        """Ask a process to end; the reply says its status after the request. Errors begin with ``cancel failed:``.

        Of a process that the run did not start, the host decides (``ProcessCancelAbility``).
        """
        try:
            process_id = parse_process_handle(handle)
        except LashError as error:
            reply = error_reply(error, self._dispatch.effect_controller)
        else:
            try:
                with self._at_work():
                    reply = ToolInvocationReply.success((await self._cancel(process_id, reason)).to_json_value())
            except LashError as error:
                reply = error_reply(error, self._dispatch.effect_controller, "cancel failed: ")
        args = {"handle": handle} if reason is None else {"handle": handle, "reason": reason}
        return reply.recorded_as(CANCEL_TOOL, call_id, args)

    async def signal_process(
        self, call_id: str, handle: JsonValue, signal_name: str, payload: JsonValue = None
    ) -> ToolInvocationReply:
        """Send a signal through a live handle; the call id is the signal's id. Having started it is not enough."""
        try:
            signal = SignalProcess.of(parse_process_handle(handle), signal_name, call_id, payload)
            with self._at_work():
                event = await self._dispatch.require_processes().signal(self._session_id, signal, self.process_scope())
            facts = {"process_id": event.process_id, "event_type": event.event_type, "sequence": event.sequence}
            reply = ToolInvocationReply.success(facts)
        except LashError as error:
            reply = error_reply(error, self._dispatch.effect_controller)
        args = {"handle": handle, "signal_name": signal_name, "payload": payload}
        return reply.recorded_as(SIGNAL_TOOL, call_id, args)

    async def list_process_handles(self, mode: ProcessListMode = ProcessListMode.LIVE) -> tuple[dict[str, Any], ...]:
        """Summaries of the handles of this context's scope, by process id."""
        with self._at_work():
            return await self._dispatch.require_processes().list_visible(self._session_id, mode, self.process_scope())

    async def grant_process_handle(self, process_id: str, descriptor: ProcessHandleDescriptor) -> None:
        """Give this context's scope a handle; for hosts. Raises: UnknownProcessError."""
        with self._at_work():
            processes = self._dispatch.require_processes()
            await processes.grant(self._session_id, process_id, descriptor, self.process_scope())

    async def revoke_process_handle(self, process_id: str) -> None:
        """Take a handle away from this context's scope; a missing one is success."""
        with self._at_work():
            await self._dispatch.require_processes().revoke(self._session_id, process_id, self.process_scope())

    async def transfer_process_handles(self, target: SessionScope, process_ids: Sequence[str]) -> None:
        """Move handles of this context's scope, all or nothing. Raises: HandleNotGrantedError."""
        with self._at_work():
            processes = self._dispatch.require_processes()
            await processes.transfer(self._session_id, target, process_ids, self.process_scope())

    async def _cancel(self, process_id: str, reason: str | None) -> ProcessCancelSummary:
        processes, scope = self._dispatch.require_processes(), self.process_scope()
        if self.is_run_local_process(process_id):
            return await processes.cancel(self._session_id, process_id, scope, reason=reason, visible_only=False)
        request = ProcessCancelRequest(self._session_id, process_id, scope, reason)
        return await self._dispatch.process_cancel_ability.cancel(processes, request)
