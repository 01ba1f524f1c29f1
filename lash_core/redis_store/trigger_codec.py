"""Subscriptions, occurrences and deliveries as Redis has them (``docs/contracts/redis_layout.md``, Triggers). Pure.

A row is a head of fixed fields, which scripts read, and a canonical JSON, which they only copy and compare.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.canonical_json import canonical_json, sha256_hex
from lash_core.model.trigger import SUBSCRIPTION_ID_PREFIX, TriggerOwnerScope, TriggerSubscription, subscription_id
from lash_core.model.trigger_occurrence import (
    OCCURRENCE_ID_PREFIX,
    DeliveryState,
    ReservationStatus,
    TriggerDelivery,
    TriggerOccurrence,
    trigger_process_id,
)
from lash_core.model.trigger_source import source_digest

RECORD_VERSION = 1
NAME_CHARACTERS = 64
"""Subscriptions and occurrences are named in fields and members by the whole hex of their ids."""
SHORT_CHARACTERS = 32
"""Sources, owners and operations by half of their hash: 128 bits."""

_HEX = re.compile(r"[0-9a-f]{64}")
_SUBSCRIPTION = re.compile(r"(\d+);([edt]);(\d+);(\d+);[0-9a-f]+;(\d+);")
_OCCURRENCE = re.compile(r"(\d+);(\d+);\d+;(\d+);")


def subscription_name(subscription_id: str) -> str | None:
    """A subscription's name in fields; None for a text that is no subscription id."""
    return _digest_of(subscription_id, SUBSCRIPTION_ID_PREFIX)


def occurrence_name(occurrence_id: str) -> str | None:
    """An occurrence's name in fields; None for a text that is no occurrence id."""
    return _digest_of(occurrence_id, OCCURRENCE_ID_PREFIX)


def _digest_of(text: str, prefix: str) -> str | None:
    digest = text.removeprefix(prefix)
    return digest if digest != text and _HEX.fullmatch(digest) else None


def source_name(source_type: str, source_key: str) -> str:
    """A source's name in members."""
    return source_digest(source_type, source_key)[:SHORT_CHARACTERS]


def owner_name(owner: TriggerOwnerScope) -> str:
    """An owner's name in members."""
    return sha256_hex(owner.namespace)[:SHORT_CHARACTERS]


def receipt_name(owner: TriggerOwnerScope, operation_id: str) -> str:
    """The field of a receipt."""
    return f"{owner_name(owner)}:{sha256_hex(operation_id)[:SHORT_CHARACTERS]}"


def delivery_name(occurrence_id: str, subscription_id: str) -> str | None:
    """The field of a delivery; None when one of the ids is none."""
    occurrence, subscription = occurrence_name(occurrence_id), subscription_name(subscription_id)
    return None if occurrence is None or subscription is None else f"{occurrence}:{subscription}"


# -- subscriptions ------------------------------------------------------------------------------------------------


def stamp_of(subscription: TriggerSubscription) -> str:
    """``<incarnation>;<revision>``: what must not have changed."""
    return f"{subscription.incarnation};{subscription.revision}"


def state_of(subscription: TriggerSubscription) -> str:
    """``e`` live, ``d`` disabled, ``t`` deleted."""
    return "t" if subscription.tombstoned else "e" if subscription.enabled else "d"


def encode_subscription(subscription: TriggerSubscription) -> str:
    """``<version>;<state>;<incarnation>;<revision>;<source>;<bytes of the JSON>;<JSON>``."""
    in_head = {"subscription_id", "incarnation", "revision", "enabled", "tombstoned"}
    facts = {name: value for name, value in subscription.to_plain_value().items() if name not in in_head}
    text = canonical_json(facts, field="subscription")
    definition = subscription.definition
    source = source_name(definition.source_type, definition.source_key)
    head = f"{RECORD_VERSION};{state_of(subscription)};{stamp_of(subscription)};{source}"
    return f"{head};{len(text.encode())};{text}"


def decode_subscription(name: str, row: str, *, key: str) -> TriggerSubscription:
    """The subscription of a row.

    Raises:
        NewerRecordError: written by a newer release. CorruptRecordError: not a row of that name.
    """
    head = _SUBSCRIPTION.match(row)
    if head is None:
        raise CorruptRecordError(f"{key} holds an unreadable trigger under {name}", key=key)
    version, state, incarnation, revision, _ = head.groups()
    if int(version) > RECORD_VERSION:
        raise NewerRecordError(f"{key} holds a trigger of record version {version} under {name}", key=key)
    try:
        facts: dict[str, Any] = json.loads(row[head.end() :])
        own_id = subscription_id(TriggerOwnerScope.model_validate(facts["owner_scope"]), facts["subscription_key"])
        subscription = TriggerSubscription.model_validate(
            facts
            | {
                "subscription_id": own_id,
                "incarnation": int(incarnation),
                "revision": int(revision),
                "enabled": state == "e",
                "tombstoned": state == "t",
            }
        )
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        raise CorruptRecordError(f"{key} holds an unreadable trigger under {name}", key=key) from error
    if subscription_name(subscription.subscription_id) != name:
        raise CorruptRecordError(f"{key} holds another trigger under {name}", key=key)
    return subscription


# -- occurrences and deliveries ------------------------------------------------------------------------------------


def encode_occurrence(occurrence: TriggerOccurrence) -> str:
    """The JSON of names and payload; the script puts the head before it."""
    return canonical_json(
        {
            "i": occurrence.idempotency_key,
            "k": occurrence.source_key,
            "p": occurrence.payload,
            "t": occurrence.source_type,
        },
        field="occurrence",
    )


def decode_occurrence(row: str, *, key: str) -> tuple[TriggerOccurrence, tuple[str, ...]]:
    """The occurrence of a row, and the names of its subscriptions.

    Raises:
        NewerRecordError: written by a newer release. CorruptRecordError: not a row.
    """
    head = _OCCURRENCE.match(row)
    if head is None:
        raise CorruptRecordError(f"{key} holds an unreadable occurrence", key=key)
    version, recorded_ms, count = (int(part) for part in head.groups())
    if version > RECORD_VERSION:
        raise NewerRecordError(f"{key} holds an occurrence of record version {version}", key=key)
    first = head.end()
    after = first + count * NAME_CHARACTERS
    names = tuple(row[at : at + NAME_CHARACTERS] for at in range(first, after, NAME_CHARACTERS))
    try:
        facts = json.loads(row[after + 1 :])
        occurrence = TriggerOccurrence(facts["t"], facts["k"], facts["i"], facts["p"], recorded_at_ms=recorded_ms)
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptRecordError(f"{key} holds an unreadable occurrence", key=key) from error
    return occurrence, names


def delivery_of(
    occurrence_id: str,
    name: str,
    row: str,
    *,
    key: str,
    status: ReservationStatus,
    state: DeliveryState = "waiting",
    reason: str | None = None,
    reserved_at_ms: int = 0,
) -> TriggerDelivery:
    """A delivery; its snapshot is None when this release cannot read it."""
    try:
        snapshot = decode_subscription(name, row, key=key)
    except CorruptRecordError:
        snapshot = None
    head = _SUBSCRIPTION.match(row)
    own_id = f"{SUBSCRIPTION_ID_PREFIX}{name}"
    incarnation = 0 if head is None else int(head[3])
    return TriggerDelivery(
        occurrence_id=occurrence_id,
        subscription_id=own_id,
        subscription=snapshot,
        process_id=trigger_process_id(occurrence_id, own_id, incarnation),
        reservation_status=status,
        state=state,
        reason=reason,
        reserved_at_ms=reserved_at_ms,
    )
