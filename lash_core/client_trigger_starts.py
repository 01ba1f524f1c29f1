"""The registration of a trigger's delivery: manifest of the kind as it is now, everything else from the snapshot."""

from __future__ import annotations

from typing import Any

from lash_core.client_enqueue import KindResolver, StartPlan
from lash_core.errors import CorruptRecordError, UnknownKindError
from lash_core.model.limits import Limits
from lash_core.model.manifest import KindManifest
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance
from lash_core.model.trigger import TriggerTarget
from lash_core.model.trigger_occurrence import TriggerDelivery, TriggerOccurrence
from lash_core.model.trigger_params import fill_params


class TriggerStarts:
    """Plans starts for a ``TriggerRouter``.

    Args:
        kinds: finds manifests.
        limits: with them the params' size is checked before anything is sent.
    """

    def __init__(self, kinds: KindResolver, limits: Limits | None = None) -> None:
        self._kinds = kinds
        self._limits = limits

    async def __call__(self, delivery: TriggerDelivery, occurrence: TriggerOccurrence) -> ProcessRegistration:
        """The registration of this delivery.

        Raises:
            UnknownKindError: no manifest, and the trigger names no disposition.
            SelectorError: the params name a part of the payload that is not there.
            InvalidArgumentError: the params do not match the kind's schema, or are too large.
        """
        snapshot = delivery.subscription
        if snapshot is None:
            raise CorruptRecordError("the snapshot of the subscription cannot be read")
        target = snapshot.definition.target
        plan = StartPlan(
            await self.manifest(target),
            {
                "label": target.label or snapshot.subscription_key,
                "queue": target.queue,
                "delay_ms": target.delay_ms,
                "timeout_ms": target.timeout_ms,
                "wake_target": snapshot.wake_target,
            },
            self._limits,
        )
        registration = plan.registration(delivery.process_id, fill_params(target.params, occurrence.payload))
        changes: dict[str, Any] = {
            "provenance": ProcessProvenance(originator=snapshot.resolved_originator, caused_by=delivery.caused_by)
        }
        if target.env_ref is not None and registration.env_ref is not None:
            changes["env_ref"] = target.env_ref
        return registration.model_copy(update=changes)

    async def manifest(self, target: TriggerTarget) -> KindManifest:
        """The manifest of a target's kind; its own disposition counts only where no manifest is known.

        Raises: UnknownKindError.
        """
        try:
            return await self._kinds.resolve(target.kind)
        except UnknownKindError:
            if target.disposition is None:
                raise
            return await self._kinds.resolve(target.kind, target.disposition)
