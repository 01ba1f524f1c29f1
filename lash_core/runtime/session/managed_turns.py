"""Turns of a child session: started, awaited, cancelled, and counted in the parent's ledger.

``docs/contracts/sessions.md`` 2.11.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lash_core.errors.session import SessionError
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.model.usage import TokenLedgerEntry, TokenUsage, ledger_diff, merge_ledger
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.turn_activities import TurnEventSender, send_turn_activity

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


class ManagedSession:
    """An open child: its runtime, and the turn that it runs. Made by ``ManagedSessions``.

    Attributes:
        runtime: the child.
        usage_source: under which its tokens are counted in the parent's ledger.
    """

    def __init__(self, parent: LashRuntime, runtime: LashRuntime, usage_source: str) -> None:
        self._parent = parent
        self.runtime = runtime
        self.usage_source = usage_source
        self._turn: asyncio.Task[AssembledTurn] | None = None
        self._token = CancellationToken()

    @property
    def session_id(self) -> str:
        """The child."""
        return self.runtime.session_id

    @property
    def is_running(self) -> bool:
        """True while a turn runs."""
        return self._turn is not None and not self._turn.done()

    def require_idle(self, what: str) -> None:
        """Refuse while a turn runs.

        Raises:
            SessionError.
        """
        if self.is_running or self.runtime.turn_memory.is_working:
            raise SessionError(
                f"session `{self.session_id}` cannot be {what}: it runs a turn",
                field="session_id",
                value=self.session_id,
            )

    def start_turn(
        self, turn_input: TurnInput, *, turn_id: str | None = None, sender: TurnEventSender | None = None
    ) -> str:
        """Start a turn; one at a time.

        Args:
            turn_input: what it is given.
            turn_id: fresh by default; a turn that was committed under it is answered, not run.
            sender: takes the parent's live activity: ``child_usage`` events of this turn go there.

        Returns:
            The turn's id.

        Raises:
            SessionError: a turn runs already.
        """
        self.require_idle("given a turn")
        turn_id = turn_id or f"t_{uuid.uuid4().hex}"
        self._token = CancellationToken()
        self._turn = asyncio.create_task(self._run(turn_input, turn_id, sender))
        return turn_id

    async def await_turn(self) -> AssembledTurn:
        """Wait for the turn that was started last. The waiter's own cancellation ends the wait, not the turn.

        Raises:
            SessionError: none was started. What the turn raised: it was not committed.
        """
        if self._turn is None:
            raise SessionError(
                f"session `{self.session_id}` was given no turn", field="session_id", value=self.session_id
            )
        return await asyncio.shield(self._turn)

    def cancel_turn(self, reason: str | None = None) -> None:
        """Cancel the running turn; it ends with a commit of its own. Nothing when none runs."""
        self._token.cancel(reason)

    def drop(self) -> None:
        """Let go of the child at once, stored or not."""
        if self._turn is not None:
            self._turn.cancel()
        self.runtime.close()

    async def _run(self, turn_input: TurnInput, turn_id: str, sender: TurnEventSender | None) -> AssembledTurn:
        before = _spent(self.runtime)
        live = _ChildUsage(self.session_id, self.usage_source, self.runtime.policy.model.id, sender)
        turn = await self.runtime.stream_turn(turn_input, turn_id=turn_id, cancellation=self._token, sender=live.take)
        spent = ledger_diff(_spent(self.runtime), before) or _of_calls(turn)
        # One entry a model: which of the child's own sources spent it is in the child's ledger.
        self._parent.shared_token_ledger.extend(
            merge_ledger(TokenLedgerEntry(self.usage_source, entry.model, entry.usage) for entry in spent)
        )
        return turn


class _ChildUsage:
    """Passes a child's usage on to the parent's listeners as it comes, with what was spent so far."""

    def __init__(self, session_id: str, source: str, model: str, sender: TurnEventSender | None) -> None:
        self._session_id = session_id
        self._source = source
        self._model = model
        self._sender = sender
        self._spent: dict[str, TokenUsage] = {}

    async def take(self, activity: TurnActivity) -> None:
        """An activity of the child; only usage goes on."""
        if self._sender is None or activity.event.type not in ("usage", "child_usage"):
            return
        facts = activity.event.facts
        model = str(facts.get("model", self._model))
        usage = facts.get("usage") if activity.event.type == "usage" else facts.get("delta")
        delta = TokenUsage.model_validate(usage) if isinstance(usage, dict) else TokenUsage()
        self._spent[model] = self._spent.get(model, TokenUsage()) + delta
        event = TurnEvent(
            "child_usage",
            {
                "session_id": self._session_id,
                "source": self._source,
                "model": model,
                "delta": delta.to_json_value(),
                "cumulative": self._spent[model].to_json_value(),
            },
        )
        await send_turn_activity(self._sender, activity.correlation_id, event)


def _spent(runtime: LashRuntime) -> Sequence[TokenLedgerEntry]:
    return merge_ledger((*runtime.state.token_ledger, *runtime.shared_token_ledger))


def _of_calls(turn: AssembledTurn) -> Sequence[TokenLedgerEntry]:
    """A turn that was answered from its stamp spent nothing now; the parent that asks again has not counted it yet."""
    return merge_ledger(TokenLedgerEntry("", call.model, call.usage) for call in turn.llm_calls)
