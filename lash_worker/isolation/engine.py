"""The engine of a kind that runs in work-horses: the order, and what each end of a horse means (DESIGN 4, 6)."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, decode_await_output
from lash_core.runtime.process.engine import EngineRun
from lash_worker.app_calls import TIMEOUT_REASON
from lash_worker.app_outcomes import bad_params, stopped
from lash_worker.app_signature import ProcessSignature
from lash_worker.isolation.declared import RqSignature
from lash_worker.isolation.faces import RqCall
from lash_worker.isolation.horses import STOP_GRACE_MS, Horses, HorseStop
from lash_worker.isolation.order import HorseEnd, HorseOrder, job_id_of

HORSE_DIED = "process_horse_died"
YIELD_GRACE_MS = 400
"""A drain gives cancelled runs one second before it gives their leases back; the horse must be gone by then."""


class IsolatedEngine:
    """``ProcessEngine`` of one isolated kind. Lease and fence stay with the worker; a horse writes nothing of lash's.

    Args:
        kind: the declared kind.
        signature: of its function, or the RQ function.
        app_path: import path of its app, for the runners.
        app_version: of the app.
        timeout_ms: for rows that carry none of their own.
        horses: where it runs.
        record_tracebacks: put the traceback of an exception into ``raw``.
    """

    def __init__(
        self,
        kind: str,
        signature: ProcessSignature | RqSignature,
        *,
        app_path: str,
        app_version: str | None,
        timeout_ms: int | None,
        horses: Horses,
        record_tracebacks: bool = False,
    ) -> None:
        self._kind = kind
        self._signature = signature
        self._app_path = app_path
        self._app_version = app_version
        self._timeout_ms = timeout_ms
        self._horses = horses
        self._record_tracebacks = record_tracebacks

    @property
    def kind(self) -> str:
        """The declared kind."""
        return self._kind

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Run the function once, in a horse.

        Raises:
            asyncio.CancelledError: the worker ended the run, and the horse with it; nothing is to be recorded.
            HorseUnavailableError: no horse took it; nothing was run.
        """
        token = run.cancellation
        if token.cancelled:
            return stopped(run.process_id, token.reason, None)
        rq_call: RqCall | None = None
        if isinstance(self._signature, RqSignature):
            try:
                rq_call = (self._signature.rq_name, *self._signature.arguments(run.payload))
            except ValueError as error:
                return bad_params(error)
        timeout_ms = run.registration.timeout_ms or self._timeout_ms
        lease = run.context.run_lease
        loop = asyncio.get_running_loop()
        # A lost lease leaves no time: somebody else may run the process by now.
        stop = HorseStop(lambda: 0 if lease is not None and lease.lost else YIELD_GRACE_MS)
        timed_out = False

        def tell() -> None:
            loop.call_soon_threadsafe(stop.ask, STOP_GRACE_MS)

        def time_out() -> None:
            nonlocal timed_out
            timed_out = token.cancel(TIMEOUT_REASON)

        forget = token.on_cancel(tell)
        timer = None if not timeout_ms else loop.call_later(timeout_ms / 1_000, time_out)
        try:
            end = await self._horses.run(self._order(run, timeout_ms), rq_call, stop)
        finally:
            forget()
            if timer is not None:
                timer.cancel()
        return _output_of(run, end, asked=stop.asked.is_set(), timeout_ms=timeout_ms if timed_out else None)

    def _order(self, run: EngineRun, timeout_ms: int | None) -> HorseOrder:
        registration, record, lease = run.registration, run.context.record, run.context.run_lease
        identity = registration.resolved_identity
        labels = {"kind": identity.kind, "queue": registration.queue}
        if identity.label is not None:
            labels["label"] = identity.label
        fence = 0 if lease is None else lease.lease.fencing_token
        return HorseOrder(
            job_id=job_id_of(run.process_id, fence, secrets.token_hex(4)),
            app=self._app_path,
            kind=self._kind,
            process_id=run.process_id,
            params=run.payload,
            attempt=1 if record is None else record.attempt + 1,
            fence=fence,
            owner="" if lease is None else lease.lease.owner.owner_id,
            labels=labels,
            app_version=self._app_version,
            timeout_ms=timeout_ms,
            record_tracebacks=self._record_tracebacks,
        )


def _output_of(run: EngineRun, end: HorseEnd, *, asked: bool, timeout_ms: int | None) -> AnyAwaitOutput:
    """The outcome of a run: what the function answered, else why it was ended, else that its horse died."""
    output = None if end.outcome is None else decode_await_output(end.outcome)
    if output is not None:
        return output
    if asked:
        return stopped(run.process_id, run.cancellation.reason, timeout_ms)
    how = "was ended by a SIGTERM that its worker did not send" if end.stopped else end.text
    text = f"the work-horse of process `{run.process_id}` {how}"
    raw: dict[str, Any] = end.evidence
    return ProcessAwaitOutput.failure("execution", HORSE_DIED, text, raw)
