"""Answers from a journal: recorded outcomes, recorded errors, and what a mismatch says (contract 5.3)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_digest import diverging
from lash_core.model.effect_record import EffectRecord
from lash_core.model.fast_build import fast_build
from lash_core.runtime.journal.errors import raised_again


def outcome_of(record: EffectRecord) -> RuntimeEffectOutcome:
    """The outcome of a final record. Raises: the recorded error."""
    if record.state == "failed":
        raise raised_again(record.outcome)
    return fast_build(RuntimeEffectOutcome, {"kind": record.kind, "value": record.outcome})


def mismatch_of(backend: str, record: EffectRecord, envelope: RuntimeEffectEnvelope) -> RuntimeFailure:
    """The error of an effect whose key stands for another request; names at most eight differing paths."""
    found = diverging(record.digests, envelope)
    paths = list(found.paths)
    return RuntimeFailure(
        f"{backend}_effect_replay_hash_conflict",
        f"effect `{envelope.replay_key}` was recorded for another request: divergent_paths=[{', '.join(paths)}], "
        f"{found.count} in all. Code that runs again must ask for the same effects: put what changes (time, random "
        "numbers, answers of other systems) into steps, and pin running processes to their version when code changes",
        raw={"divergent_path_count": found.count, "divergent_paths": paths, "replay_key": envelope.replay_key},
    )


def with_argument(envelope: RuntimeEffectEnvelope, name: str, value: Any) -> RuntimeEffectEnvelope:
    """The envelope with one argument of its command replaced."""
    command = envelope.command.model_copy(update={"args": {**envelope.command.args, name: value}})
    return envelope.model_copy(update={"command": command})
