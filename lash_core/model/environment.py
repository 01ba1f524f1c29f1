"""Captured execution environments: closed, immutable, content-addressed (contract 1.11, 4.8, decision 14)."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from lash_core.errors import PluginSessionError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json_bytes, sha256_hex
from lash_core.model.chronological_projection import ChronologicalProjection

HISTORY_OPTION = "lash.history"
"""Among the plugin options, where releases that know nothing of it pass it over."""


class ProcessExecutionEnvSpec(Model):
    """What a process needs of its creator: plugin options and the session policy. Unknown fields are refused."""

    plugin_options: dict[str, Any] = Field(default_factory=dict, kw_only=False)
    policy: dict[str, Any] = Field(default_factory=dict, kw_only=False)

    def with_history(self, history: ChronologicalProjection) -> ProcessExecutionEnvSpec:
        """A copy with the newest part of a session's history; without any it is the same environment as before.

        Times are left out: the messages of a turn that is redone are appended anew, and the child that it starts must
        be the same one.
        """
        newest = history.timeless().newest()
        if newest.is_empty:
            return self
        entries = [entry.to_plain_value() for entry in newest.entries]
        return self.model_copy(update={"plugin_options": {**self.plugin_options, HISTORY_OPTION: entries}})

    @property
    def history(self) -> ChronologicalProjection:
        """The history that was captured. Raises: ValidationError: what is stored is none."""
        return ChronologicalProjection.model_validate({"entries": self.plugin_options.get(HISTORY_OPTION, ())})

    @property
    def env_ref(self) -> str:
        """``process-env:sha256:<hex of the canonical JSON>``: the same spec always has the same ref."""
        return f"process-env:sha256:{sha256_hex(self.to_plain_value())}"

    def encode(self) -> bytes:
        """The canonical JSON."""
        return canonical_json_bytes(self.to_plain_value(), field="env")

    @classmethod
    def decode(cls, data: bytes) -> ProcessExecutionEnvSpec:
        """Decode stored bytes.

        Raises:
            PluginSessionError: ``failed to decode process execution env``.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise PluginSessionError(f"failed to decode process execution env: {error.error_count()} errors") from error


EMPTY_ENVIRONMENT = ProcessExecutionEnvSpec()
"""The environment of plain processes (decision 14)."""

EMPTY_ENV_REF = EMPTY_ENVIRONMENT.env_ref


def process_env_session_id(process_id: str) -> str:
    """Session in which a process with a captured environment runs."""
    return f"process-env:{process_id}"


def process_turn_session_id(process_id: str) -> str:
    """Child session of a ``session_turn`` process."""
    return f"process-session-turn:{process_id}"
