"""Processes that tools of a turn start by kind (``docs/contracts/tools.md`` 4)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lash_core.client_enqueue import EnqueueOptions, KindResolver, StartPlan, as_json
from lash_core.errors import NotAvailableError, RuntimeFailure
from lash_core.model.base import JsonValue
from lash_core.model.ids import check_id
from lash_core.model.tool_output import ToolFailure

if TYPE_CHECKING:
    # A context uses tools, and tools use this.
    from lash_core.runtime.execution_context import RuntimeExecutionContext


@runtime_checkable
class KnowsKinds(Protocol):
    """A context that finds the manifests of kinds."""

    @property
    def kinds(self) -> KindResolver | None:
        """Where manifests are found; None where nothing does."""
        ...


async def start_kind(
    execution: RuntimeExecutionContext,
    call: str,
    kind: str,
    params: JsonValue,
    *,
    process_id: str | None = None,
    label: str | None = None,
) -> str:
    """Start a process of a kind for the session of a tool call, and answer its id.

    The session is its origin, gets its handle and is woken by it. The same call starts it once, however often it is
    attempted: the default id is made of the session, the call and the kind, so two of one kind need ids of their own.

    Args:
        execution: of the call.
        call: names the call in its session.
        kind: that an app declares, here or on another worker.
        params: as the kind takes them.
        process_id: another id than the default one.
        label: for lists.

    Raises:
        UnknownKindError: nobody declares the kind. InvalidArgumentError: params that do not fit it, a bad id.
        RuntimeFailure: the start was refused: another request has the id, or the session may not start it.
        NotAvailableError: this runtime has no processes. Store errors.
    """
    kinds = execution.kinds if isinstance(execution, KnowsKinds) else None
    if kinds is None:
        raise NotAvailableError("this runtime knows no kinds of processes")
    manifest = await kinds.resolve(kind)
    used_id = default_id(execution.session_id, call, kind) if process_id is None else check_id(process_id)
    plan = StartPlan(manifest, EnqueueOptions(label=label), None)
    # The context says what it runs with: the session's environment, not the empty one.
    registration = plan.registration(used_id, as_json(params)).model_copy(update={"env_ref": None})
    reply = await execution.start_child_process(registration, kind, label)
    if isinstance(reply.output, ToolFailure):
        raise RuntimeFailure(reply.output.code, reply.output.message, raw=reply.output.raw)
    return used_id


def default_id(session_id: str, call: str, kind: str) -> str:
    """The id of a process that a call starts, the same in every attempt: ids of models fit into no bound."""
    digest = hashlib.sha256("\n".join((session_id, call, kind)).encode()).hexdigest()
    return f"tool-{digest[:32]}"
