"""How triggers and deliveries are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from lash_core.model.trigger import TriggerOwnerScope, TriggerSubscription
from lash_core.model.trigger_occurrence import TriggerDelivery
from lash_worker.cli.output import cell, json_cell, table, when

_COLUMNS = ("name", "state", "when", "kind", "next tick", "revision")


class Owner(click.ParamType[TriggerOwnerScope]):
    """``host``, ``platform`` or ``session:ID``."""

    name = "owner"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TriggerOwnerScope:
        """Parse, or fail naming the forms."""
        if isinstance(value, TriggerOwnerScope):
            return value
        word, _, session_id = str(value).partition(":")
        if word == "session" and session_id:
            return TriggerOwnerScope.session(session_id)
        if value == "host":
            return TriggerOwnerScope.host()
        if value != "platform":
            self.fail(f"{value!r} is no owner; write host, platform (apps) or session:ID", param, ctx)
        return TriggerOwnerScope.platform()


OWNER = Owner()


def state_of(subscription: TriggerSubscription) -> str:
    """``live``, ``paused`` or ``deleted``."""
    return "deleted" if subscription.tombstoned else "live" if subscription.enabled else "paused"


def source_of(subscription: TriggerSubscription) -> str:
    """What it waits for, in words of the command line."""
    definition = subscription.definition
    if definition.schedule is not None:
        return str(definition.schedule)
    return f"{definition.source_type}:{definition.source_key}"


def trigger_json(subscription: TriggerSubscription, next_tick_ms: int | None) -> dict[str, Any]:
    """What every view of a trigger prints."""
    definition = subscription.definition
    schedule = definition.schedule
    target = definition.target.model_dump(mode="json", by_alias=True)
    return {
        "name": subscription.subscription_key,
        "id": subscription.subscription_id,
        "owner": subscription.owner_scope.namespace,
        "state": state_of(subscription),
        "revision": subscription.revision,
        "incarnation": subscription.incarnation,
        "source": None if schedule is not None else source_of(subscription),
        "schedule": None if schedule is None else schedule.to_json_value(),
        **target,
        "next_tick_ms": next_tick_ms,
        "created_at_ms": subscription.created_at_ms,
        "updated_at_ms": subscription.updated_at_ms,
    }


def trigger_facts(
    subscription: TriggerSubscription, next_tick_ms: int | None, now_ms: int
) -> Sequence[tuple[str, Text]]:
    """A trigger for people."""
    target, schedule = subscription.definition.target, subscription.definition.schedule
    rows = [
        ("name", cell(subscription.subscription_key)),
        ("owner", cell(subscription.owner_scope.namespace)),
        ("state", _state_cell(subscription)),
        ("when", cell(source_of(subscription))),
    ]
    if schedule is not None:
        rows += [("next tick", when(next_tick_ms, now_ms)), ("missed ticks", cell(schedule.missed))]
    rows += [
        ("starts", cell(target.kind)),
        ("params", json_cell(target.params)),
        ("label", cell(target.label)),
        ("queue", cell(target.queue)),
        ("revision", cell(subscription.revision)),
        ("updated", when(subscription.updated_at_ms, now_ms)),
        ("id", cell(subscription.subscription_id)),
    ]
    return rows


def triggers_table(items: Sequence[TriggerSubscription], ticks: Sequence[int | None], now_ms: int) -> Table:
    """Triggers for people."""
    rows = (
        (
            cell(item.subscription_key),
            _state_cell(item),
            cell(source_of(item)),
            cell(item.definition.target.kind),
            when(tick, now_ms),
            cell(item.revision),
        )
        for item, tick in zip(items, ticks, strict=True)
    )
    return table(_COLUMNS, rows, right=("revision",))


def delivery_json(delivery: TriggerDelivery) -> dict[str, Any]:
    """A delivery that was given up."""
    snapshot = delivery.subscription
    return {
        "process_id": delivery.process_id,
        "occurrence_id": delivery.occurrence_id,
        "subscription_id": delivery.subscription_id,
        "name": None if snapshot is None else snapshot.subscription_key,
        "reason": delivery.reason,
    }


def _state_cell(subscription: TriggerSubscription) -> Text:
    state = state_of(subscription)
    return cell(state, {"live": "green", "paused": "yellow", "deleted": "red"}[state])
