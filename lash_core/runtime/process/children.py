"""Children of a process: started in one unit with the parent's journal entry, awaited, cancelled, signalled.

What a kind's manifest adds to a start is not part of what a replay compares: a manifest may change while a parent waits
(docs/adr/0106).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any, TypedDict

from lash_core.client_enqueue import EnqueueOptions, KindResolver, StartPlan, as_json
from lash_core.client_handle import value_of
from lash_core.errors import InvalidArgumentError, NotAvailableError, UnknownKindError
from lash_core.model.await_output import AnyAwaitOutput, decode_await_output
from lash_core.model.canonical_json import check_json
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import EffectKind
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.ids import ID_BYTES_MAX, check_id
from lash_core.model.process_command import AnyProcessCommand, AwaitProcess, CancelProcess, SignalProcess, StartProcess
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import CausalRef, ProcessProvenance
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from lash_core.runtime.process.verbs import RunVerbs, checked_ms


class ChildOptions(TypedDict, total=False):
    """What a child's start may say beside kind, params and id; an option that is None counts as absent.

    label: text for lists. queue: another than the kind's. delay_ms: due that long after its start (ms or a timedelta);
    at_ms: due time, ms since the epoch by the server's clock; not both. disposition: for a kind without a manifest.
    timeout_ms: another than the kind's.
    """

    label: str | None
    queue: str | None
    delay_ms: Any
    at_ms: int | None
    disposition: RecoveryDisposition | str | None
    timeout_ms: int | None


_OPTIONS = frozenset(ChildOptions.__annotations__)


class ChildHandle:
    """A process that this run started, or the one it started in an earlier attempt.

    Attributes:
        id: the child's process id.
    """

    __slots__ = ("_verbs", "id")

    def __init__(self, verbs: RunVerbs, process_id: str) -> None:
        self._verbs = verbs
        self.id = process_id

    @property
    def process_id(self) -> str:
        """The child's process id."""
        return self.id

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.result().__await__()

    async def output(self) -> AnyAwaitOutput:
        """Wait for the child's outcome, whatever it is; recorded, as the child may be pruned before a replay.

        Raises:
            UnknownProcessError, as ``RuntimeFailure`` ``unknown_process`` on replay: it was pruned.
        """
        outcome = await self._command(AwaitProcess(self.id))
        output = decode_await_output(outcome.get("output"))
        if output is None:
            raise RuntimeError(f"process `{self.id}` was reported terminal without an outcome")
        return output

    async def result(self) -> Any:
        """Wait for the child's end and answer its value; the slot is free meanwhile.

        Raises:
            ProcessFailed, ProcessCancelled, ProcessAbandoned: how it ended.
        """
        return value_of(self.id, await self.output())

    async def cancel(self, reason: str | None = None) -> None:
        """Ask the child to end. It decides how it ends; await its result to see it."""
        await self._command(CancelProcess(self.id, reason), f":{self._verbs.count(f'cancel {self.id}')}")

    async def signal(self, name: str, payload: Any = None, *, signal_id: str | None = None) -> ProcessEvent:
        """Send the child a declared signal, once over all attempts.

        Args:
            name: one that the child's kind declares.
            payload: JSON, a pydantic model or a dataclass.
            signal_id: by default one that is the same in every attempt.

        Raises:
            UndeclaredEventTypeError, InvalidPayloadError: as ``RuntimeFailure`` with their code.
        """
        number = self._verbs.count(f"signal {self.id}")
        used_id = _bounded_id(f"{self._verbs.process_id}:{number}") if signal_id is None else signal_id
        value = as_json(payload)
        check_json(value, field="payload")
        outcome = await self._command(SignalProcess.of(self.id, name, check_id(used_id, field="signal_id"), value))
        return ProcessEvent.model_validate(outcome["event"])

    async def _command(self, command: AnyProcessCommand, suffix: str = "") -> dict[str, Any]:
        verbs = self._verbs
        executor = RuntimeEffectLocalExecutor.processes(verbs.run.registry, command, waits=verbs.waits)
        # Without the word that all effect ids of process commands begin with: the key has it already.
        effect_id = command.effect_id.removeprefix("process:") + suffix
        outcome = await verbs.effect(effect_id, EffectKind.PROCESS, command.to_args(), executor)
        return outcome.into_process()

    def __repr__(self) -> str:
        return f"ChildHandle({self.id!r})"


class ChildStarts:
    """Starts the children of one run."""

    __slots__ = ("_verbs",)

    def __init__(self, verbs: RunVerbs) -> None:
        self._verbs = verbs

    async def start(self, kind: str, params: Any, process_id: str | None, options: ChildOptions) -> ChildHandle:
        """Start a child, once over all attempts.

        Raises:
            InvalidArgumentError: params that do not fit the kind's schema, a bad id or option.
            UnknownKindError: nobody declares the kind. RuntimeFailure: ``process_registration_conflict``: the id is
                taken by another request. Store errors: for the worker.
        """
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(f"start_child() has no option {', '.join(sorted(unknown))}")
        verbs = self._verbs
        number = verbs.count(f"start {kind}")
        child_id = default_child_id(verbs.process_id, kind, number) if process_id is None else check_id(process_id)
        if child_id == verbs.process_id:
            raise InvalidArgumentError("a process cannot be its own child", field="process_id", value=child_id)
        asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if "delay_ms" in asked:
            asked["delay_ms"] = checked_ms(asked["delay_ms"], "delay_ms")
        if "disposition" in asked:
            asked["disposition"] = str(asked["disposition"])
        payload = as_json(params)
        check_json(payload, field="params")
        args = {"op": "start", "process_id": child_id, "kind": kind, "params": payload, **asked}
        effect_id = f"start:{child_id}"
        executor: RuntimeEffectLocalExecutor = _Recorded()
        if not await self._is_recorded(effect_id):
            registration = await self._registration(kind, payload, child_id, EnqueueOptions(**asked))
            executor = self._starter(registration)
        await verbs.effect(effect_id, EffectKind.PROCESS, args, executor)
        return ChildHandle(verbs, child_id)

    async def _is_recorded(self, effect_id: str) -> bool:
        journal = self._verbs.journal
        if journal is None:
            return False
        with self._verbs.calling():
            await journal.load()
        record = journal.find(self._verbs.key(effect_id))
        return record is not None and record.is_final

    async def _registration(
        self, kind: str, payload: Any, child_id: str, options: EnqueueOptions
    ) -> ProcessRegistration:
        """The child's registration: what its manifest says, in the chain of this process (contract 4.2)."""
        find_kinds = self._verbs.run.find_kinds
        if find_kinds is None:
            raise NotAvailableError("this host knows no kinds: give it a directory", process_id=self._verbs.process_id)
        with self._verbs.calling():
            manifest = await _resolved(find_kinds(), kind, options.get("disposition"))
        registration = StartPlan(manifest, options, None).registration(child_id, payload)
        parent = self._verbs.run.registration
        facts: dict[str, Any] = {
            "provenance": ProcessProvenance(
                originator=parent.provenance.originator,
                caused_by=CausalRef.process(parent.id),
                host_profile_id=parent.provenance.host_profile_id,
            ),
            "wake_target": parent.wake_target,
        }
        if registration.env_ref is not None:
            facts["env_ref"] = parent.env_ref
        return registration.model_copy(update=facts)

    def _starter(self, registration: ProcessRegistration) -> RuntimeEffectLocalExecutor:
        identity = registration.resolved_identity
        target = registration.wake_target
        descriptor = ProcessHandleDescriptor(kind=identity.kind, label=identity.label)
        command = StartProcess(registration, grant_to=target, descriptor=None if target is None else descriptor)
        return RuntimeEffectLocalExecutor.processes(self._verbs.run.registry, command)


class _Recorded(RuntimeEffectLocalExecutor):
    """Of a start whose outcome is recorded: nobody calls it."""

    def __init__(self) -> None:
        async def execute(envelope: object) -> None:
            raise RuntimeError("a recorded start was executed")

        super().__init__(execute)


async def _resolved(kinds: KindResolver, kind: str, disposition: RecoveryDisposition | str | None) -> Any:
    try:
        return await kinds.resolve(kind, disposition)
    except UnknownKindError as error:
        raise UnknownKindError(
            f"process kind `{kind}` is unknown: no app of this worker declares it and no worker published it. Start a "
            "worker whose app declares it, or say how it recovers: disposition=",
            field="kind",
            value=kind,
        ) from error


def default_child_id(parent_id: str, kind: str, number: int) -> str:
    """``<parent>/<kind>/<n>``; of a parent whose id leaves no room the digest instead of the id."""
    return _bounded_id(f"{parent_id}/{kind}/{number}", tail=f"/{kind}/{number}")


def _bounded_id(wanted: str, tail: str = "") -> str:
    if len(wanted.encode()) <= ID_BYTES_MAX:
        return wanted
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:32]
    shortened = f"~{digest}{tail}"
    return shortened if len(shortened.encode()) <= ID_BYTES_MAX else f"~{digest}"
