"""What to do with a row, decided on the row as read under its lease (contract 3.4, hazard 1). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lash_core.model.await_output import AbandonEvidence, AbandonWriter
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.lease import takeover_backoff_ms
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import EngineInput, SessionTurnInput, ToolCallInput
from lash_core.model.record import ProcessRecord

DECLINE_DELAY_MS = 1_000
DECLINE_DELAY_MAX_MS = 30_000
BUSY_DELAY_MS = 250
BUSY_DELAY_MAX_MS = 4_000
"""A row that met busy work-horses is offered again soon: they may be free, here or elsewhere."""


@dataclass(frozen=True, slots=True)
class Run:
    """Execute it. ``start_first``: the start fact is written before the function is called."""

    start_first: bool


@dataclass(frozen=True, slots=True)
class CompleteAbandoned:
    """Record that nobody may run it any more, with the evidence."""

    evidence: AbandonEvidence


@dataclass(frozen=True, slots=True)
class ReleaseUntilEvent:
    """Give it back until something happens to the row."""

    detail: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Give it back for a while: it died before, and another attempt at once would die the same way."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class Decline:
    """This worker cannot run it, another may."""

    delay_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Poison:
    """It killed its owners too often: fail it."""

    deaths: int


@dataclass(frozen=True, slots=True)
class AlreadyTerminal:
    """It ended before the lease was taken: only release."""


Decision = Run | CompleteAbandoned | ReleaseUntilEvent | Postpone | Decline | Poison | AlreadyTerminal


@dataclass(frozen=True, slots=True)
class KnownWork:
    """What a worker can run: engine kinds with their app's version, tools, and the host profile."""

    kinds: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    tools: Collection[str] | None = None
    """None = not known in advance; then every tool call is tried."""
    host_profile_id: str = ""
    isolated_kinds: frozenset[str] = frozenset()
    isolated_max: int = 0
    """Rows of isolated kinds that it may hold at once: further ones would block slots that other work could use."""
    providers: Collection[str] = ()
    """Model providers by id; without any it runs no turns of child sessions."""

    def is_isolated(self, record: ProcessRecord) -> bool:
        """True for a row that runs in a work-horse."""
        return isinstance(record.input, EngineInput) and record.input.kind in self.isolated_kinds

    def why_not(self, record: ProcessRecord) -> str | None:
        """Why this worker must leave the row to another, or None when it can run it."""
        profile = record.provenance.host_profile_id
        if profile and profile != self.host_profile_id:
            return f"host profile {profile}"
        process_input = record.input
        if isinstance(process_input, EngineInput):
            kind = process_input.kind
            if kind not in self.kinds:
                hint = ", which runs in work-horses: lash worker run --isolated N"
                return f"kind {kind}{hint if kind in self.isolated_kinds else ''}"
            pin = record.version_pin
            if pin is not None and pin != self.kinds[kind]:
                return f"version {pin} of kind {kind}"
        elif (
            isinstance(process_input, ToolCallInput)
            and self.tools is not None
            and process_input.call.tool_name not in self.tools
        ):
            return f"tool {process_input.call.tool_name}"
        elif isinstance(process_input, SessionTurnInput):
            return self._lacks_provider(process_input.create_request)
        return None

    def _lacks_provider(self, create_request: object) -> str | None:
        """A provider that the request names itself; one that it inherits is looked for when the turn begins."""
        if not self.providers:
            return "a turn of a session, which needs a model provider"
        policy = create_request.get("policy") if isinstance(create_request, dict) else None
        named = policy.get("provider_id") if isinstance(policy, dict) else None
        return f"model provider {named}" if isinstance(named, str) and named and named not in self.providers else None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the claimant knows beside the row.

    Attributes:
        now_ms: the store's time.
        dead_owner: the holder or starter that is provably dead, if any.
        taken_over: the lease was reclaimed from a dead holder, so the wait after a death was not served yet.
        declines: how often this worker declined the row before.
        isolated_held: rows of isolated kinds that this worker holds.
        poison_deaths_max: 0 = never.
    """

    now_ms: int
    dead_owner: LeaseOwnerIdentity | None = None
    taken_over: bool = False
    declines: int = 0
    isolated_held: int = 0
    poison_deaths_max: int = 8


def decide(record: ProcessRecord, known: KnownWork, now: Circumstances) -> Decision:
    """Choose what the holder of a fresh lease does with the row it read under that lease."""
    if record.is_terminal:
        return AlreadyTerminal()
    match record.disposition:
        case RecoveryDisposition.EXTERNALLY_OWNED:
            if record.abandon_request is None:
                return ReleaseUntilEvent("externally owned")
            return CompleteAbandoned(_evidence(AbandonWriter.RECONCILED_REQUEST, None, now))
        case RecoveryDisposition.OWNER_BOUND if record.first_started is not None:
            if now.dead_owner is not None:
                return CompleteAbandoned(_evidence(AbandonWriter.SWEEP, now.dead_owner, now))
            if record.abandon_request is not None:
                return CompleteAbandoned(_evidence(AbandonWriter.RECONCILED_REQUEST, record.first_started.owner, now))
            return ReleaseUntilEvent("owner bound, started, no evidence of its owner's death")
        case _:
            return _decide_run(record, known, now)


def _decide_run(record: ProcessRecord, known: KnownWork, now: Circumstances) -> Decision:
    deaths = record.deaths
    if deaths and now.poison_deaths_max and deaths >= now.poison_deaths_max:
        return Poison(deaths)
    if deaths and now.taken_over:
        delay_ms = takeover_backoff_ms(deaths)
        if delay_ms:
            return Postpone(delay_ms)
    reason = known.why_not(record)
    if reason is not None:
        return Decline(decline_delay_ms(now.declines), reason)
    if known.is_isolated(record) and now.isolated_held >= known.isolated_max:
        delay_ms = min(BUSY_DELAY_MS << min(now.declines, 10), BUSY_DELAY_MAX_MS)
        return Decline(delay_ms, "all work-horses are busy")
    return Run(start_first=record.disposition is RecoveryDisposition.OWNER_BOUND)


def decline_delay_ms(declines: int) -> int:
    """1 s, doubled with each decline, at most 30 s."""
    return min(DECLINE_DELAY_MS << min(declines, 10), DECLINE_DELAY_MAX_MS)


def _evidence(writer: AbandonWriter, owner: LeaseOwnerIdentity | None, now: Circumstances) -> AbandonEvidence:
    return AbandonEvidence(writer=writer, owner=owner, epoch_ms=now.now_ms)
