"""Effects of a scope without a lease: each is claimed, renewed while it runs, and finalized (contract 5.3)."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from lash_core.errors import LashError, RuntimeFailure
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import digest_tree, envelope_hash
from lash_core.model.effect_record import (
    EffectClaimed,
    EffectConflict,
    EffectInProgress,
    EffectRecord,
    EffectRecorded,
    EffectWrite,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.journal.controller import JournaledController
from lash_core.runtime.journal.ends import end_of
from lash_core.runtime.journal.errors import STORE_ERRORS, NotRecordedError
from lash_core.runtime.journal.replay import mismatch_of, outcome_of, with_argument
from lash_core.runtime.sent_commands import is_process_command
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectLocalExecutor
from lash_core.store.effect_journal import EffectJournal

CLAIM_TTL_MS = 30_000
"""Life of a claim; a caller that died is followed by the next one after it. Renewed every third of it."""
POLL_MS = 25
POLL_MS_MAX = 1_000
"""While another caller executes an effect: first and longest pause between two looks."""


class LeasedEffects(JournaledController):
    """``ScopedEffects`` of a turn, a queue drain or a runtime operation; made by ``JournaledEffectHost.scoped``.

    At least once for an attempt that was not recorded, exactly one recorded outcome.
    """

    def __init__(
        self,
        scope: ExecutionScope,
        journal: EffectJournal,
        await_events: AwaitEventResolver,
        *,
        replay_only: bool = False,
        ttl_ms: int = CLAIM_TTL_MS,
    ) -> None:
        super().__init__(scope, journal, await_events)
        self._replay_only = replay_only
        self._ttl_ms = ttl_ms
        self._owner = secrets.token_hex(8)

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Answer the recorded outcome or error; else claim the effect, run it and record how it ended.

        While another caller executes it, wait for its outcome. A process command that only waits not ends with its
        caller.

        Raises:
            RuntimeFailure: ``<backend>_effect_replay_hash_conflict``, ``…_lease_lost`` (nothing was recorded),
                ``…_missing`` (replay only). StepFailed, Failure, RuntimeFailure: the effect's own error.
            StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: the journal.
        """
        if is_process_command(envelope):
            return await self._commands.finish(self._execute(envelope, local_executor))
        return await self._execute(envelope, self._at_own_promises(local_executor))

    async def _execute(
        self, envelope: RuntimeEffectEnvelope, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        digest = envelope_hash(envelope)
        if self._replay_only:
            return await self._replayed(envelope, digest, executor)
        write = EffectWrite(
            envelope.replay_key,
            envelope.kind,
            "waiting",
            digest,
            digest_tree(envelope),
            delay_ms=_delay_ms(envelope),
        )
        pause_ms = POLL_MS
        while True:
            claim = await self._journal.claim_effect(self._scope, write, owner=self._owner, ttl_ms=self._ttl_ms)
            match claim:
                case EffectRecorded(record, now_ms):
                    return await self._answer(envelope, record, now_ms, executor)
                case EffectConflict(record):
                    raise mismatch_of(self._journal.backend, record, envelope)
                case EffectClaimed():
                    return await self._run(envelope, digest, claim, executor)
                case EffectInProgress():
                    await asyncio.sleep(pause_ms / 1_000)
                    pause_ms = min(pause_ms * 2, POLL_MS_MAX)

    async def _replayed(
        self, envelope: RuntimeEffectEnvelope, digest: str, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        record = await self._journal.find_effect(self._scope, envelope.replay_key)
        if record is None or not record.is_final:
            raise RuntimeFailure(
                f"{self._journal.backend}_effect_replay_missing",
                f"effect `{envelope.replay_key}` has no recorded outcome, and this host only replays",
            )
        if record.envelope_hash != digest:
            raise mismatch_of(self._journal.backend, record, envelope)
        return outcome_of(record)

    async def _answer(
        self, envelope: RuntimeEffectEnvelope, record: EffectRecord, now_ms: int, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        outcome = outcome_of(record)
        if envelope.kind is EffectKind.SLEEP and record.due_at_ms is not None and record.due_at_ms > now_ms:
            await executor(with_argument(envelope, "duration_ms", record.due_at_ms - now_ms))
        return outcome

    async def _run(
        self,
        envelope: RuntimeEffectEnvelope,
        digest: str,
        claim: EffectClaimed,
        executor: RuntimeEffectLocalExecutor,
    ) -> RuntimeEffectOutcome:
        asked = envelope
        if claim.due_at_ms is not None:
            name = "duration_ms" if envelope.kind is EffectKind.SLEEP else "timeout_ms"
            asked = with_argument(envelope, name, max(0, claim.due_at_ms - claim.now_ms))
        effect = self._renewed(executor(asked), envelope.replay_key, claim.token)
        try:
            end = await end_of(effect, (*STORE_ERRORS, NotRecordedError, _ClaimLostError))
        except _ClaimLostError as error:
            raise error.failure from None
        write = EffectWrite(
            envelope.replay_key, envelope.kind, end.state, digest, digest_tree(envelope), outcome_json=end.outcome_json
        )
        return end.answer(await self._journal.finalize_effect(self._scope, write, claim.token))

    async def _renewed(self, effect: Any, key: str, token: str) -> RuntimeEffectOutcome:
        """Run an effect while its claim is renewed; a lost claim ends it."""
        task: asyncio.Task[RuntimeEffectOutcome] = asyncio.ensure_future(effect)
        keeper = asyncio.create_task(self._renew(key, token))
        try:
            await asyncio.wait([task, keeper], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise _ClaimLostError(keeper.result())
        finally:
            keeper.cancel()
            if not task.done():
                # The effect ends before its caller goes on, whatever it still raises.
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()

    async def _renew(self, key: str, token: str) -> RuntimeFailure:
        """Renew until the claim is lost, then say how. One failed call is not a loss: the next third may succeed."""
        while True:
            await asyncio.sleep(self._ttl_ms / 3_000)
            try:
                await self._journal.renew_effect(self._scope, key, token, ttl_ms=self._ttl_ms)
            except RuntimeFailure as error:
                return error
            except (LashError, OSError):
                continue


class _ClaimLostError(Exception):
    """The claim went while the effect ran; nothing is recorded."""

    def __init__(self, failure: RuntimeFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _delay_ms(envelope: RuntimeEffectEnvelope) -> int | None:
    match envelope.kind:
        case EffectKind.SLEEP:
            return int(envelope.command.args.get("duration_ms", 0))
        case EffectKind.AWAIT_EVENT:
            return envelope.command.args.get("timeout_ms")
        case _:
            return None
