"""What a trigger is made of, as callers say it: source or schedule, target, and the definition from both."""

from __future__ import annotations

from typing import Any, TypedDict

from lash_core.client_enqueue import as_json, parse_disposition
from lash_core.errors import InvalidArgumentError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget
from lash_core.model.trigger_params import PAYLOAD_KEY
from lash_core.model.trigger_schedule import MISSED_WITHIN_MS_DEFAULT, MissedPolicy, TriggerSchedule


class TriggerOptions(TypedDict, total=False):
    """What a trigger may say beside its name, kind and params; an option that is None counts as absent.

    Exactly one of the three says when: ``cron``: five fields, read in ``timezone`` (UTC by default). ``interval_ms``:
    a tick every so often, aligned to the epoch. ``source``: ``TYPE:KEY`` whose occurrences are delivered.
    missed: ``skip`` (default): of ticks that were missed the newest runs; ``all``: each. missed_within_ms: later ones
    are dropped; a day by default.
    label: of the processes, the trigger's name by default. queue, timeout_ms: others than the kind's. delay_ms: the
    process is due that long after its start. disposition: for a kind that no worker has published.
    """

    cron: str | None
    interval_ms: int | None
    source: str | None
    timezone: str | None
    missed: MissedPolicy | None
    missed_within_ms: int | None
    label: str | None
    queue: str | None
    delay_ms: int | None
    timeout_ms: int | None
    disposition: RecoveryDisposition | str | None


_OPTIONS = frozenset(TriggerOptions.__annotations__)
_WHEN = ("cron", "interval_ms", "source")
_OF_SCHEDULES = ("timezone", "missed", "missed_within_ms")


def parse_source(source: str) -> tuple[str, str]:
    """``TYPE:KEY`` as its two parts; the key may have colons. Raises: InvalidArgumentError."""
    source_type, colon, source_key = source.partition(":")
    if not colon or not source_key:
        raise InvalidArgumentError(
            f"source {source[:80]!r} must be TYPE:KEY, as in webhook:orders", field="source", value=source
        )
    return source_type, source_key


def make_definition(
    owner: TriggerOwnerScope, name: str, kind: str, params: Any, options: TriggerOptions
) -> TriggerDefinition:
    """The definition of a trigger. Params None mean the payload for a source, and no params for a schedule.

    Raises:
        InvalidArgumentError: not exactly one of cron, interval and source, or an option that does not go with it.
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise TypeError(f"a trigger has no option {', '.join(sorted(unknown))}")
    given = [option for option in _WHEN if options.get(option) is not None]
    if len(given) != 1:
        said = f"{' and '.join(given)} are given" if given else "none is given"
        raise InvalidArgumentError(f"a trigger has one of cron, interval and source; {said}", field="cron")
    source = options.get("source")
    if source is None:
        target = _target(kind, params, options)
        return TriggerDefinition.scheduled(owner, name, _schedule(options), target)
    for option in _OF_SCHEDULES:
        if options.get(option) is not None:
            raise InvalidArgumentError(f"{option} belongs to a schedule, not to a source", field=option)
    target = _target(kind, {PAYLOAD_KEY: ""} if params is None else params, options)
    return TriggerDefinition(*parse_source(source), target)


def _schedule(options: TriggerOptions) -> TriggerSchedule:
    missed, within_ms = options.get("missed"), options.get("missed_within_ms")
    if missed not in (None, "skip", "all"):
        raise InvalidArgumentError(f"missed is {missed!r}; it must be skip or all", field="missed", value=str(missed))
    if options.get("interval_ms") is not None and options.get("timezone") is not None:
        raise InvalidArgumentError("an interval has no time zone; use cron", field="timezone")
    return TriggerSchedule(
        cron=options.get("cron"),
        interval_ms=options.get("interval_ms"),
        timezone=options.get("timezone") or "UTC",
        missed=missed or "skip",
        missed_within_ms=MISSED_WITHIN_MS_DEFAULT if within_ms is None else within_ms,
    )


def _target(kind: str, params: Any, options: TriggerOptions) -> TriggerTarget:
    disposition = options.get("disposition")
    return TriggerTarget(
        kind,
        params=as_json(params),
        label=options.get("label"),
        queue=options.get("queue"),
        delay_ms=options.get("delay_ms"),
        timeout_ms=options.get("timeout_ms"),
        disposition=None if disposition is None else parse_disposition(disposition),
    )
