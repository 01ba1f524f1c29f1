"""Captured execution environments by content address (``docs/contracts/processes.md`` 1.11, 4.8)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lash_core.errors import MissingEnvironmentError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.environment import ProcessExecutionEnvSpec

ENVIRONMENT_FAMILY = "process-env"
ENVIRONMENT_BYTES_MAX = 256 * 1024
"""An environment travels to every worker that rebuilds a runtime from it."""


@runtime_checkable
class ProcessExecutionEnvStore(Protocol):
    """Bytes by address. An environment stays as long as a row names it, and a day after its last put."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def put(self, env_ref: str, data: bytes) -> None:
        """Store ``data`` under its address; again is the same and refreshes the age. Atomic, safe to repeat.

        Args:
            env_ref: ``process-env:sha256:<hex of data>``.
            data: canonical JSON, at most ``ENVIRONMENT_BYTES_MAX`` bytes.

        Raises:
            InvalidArgumentError: the address is not the data's, or the data is too large.
        """
        ...

    async def get(self, env_ref: str) -> bytes | None:
        """The bytes, or None when there are none; a store failure raises.

        Raises:
            InvalidArgumentError: not an address. CorruptRecordError: the bytes do not hash to it.
        """
        ...


async def persist_process_execution_env(store: ProcessExecutionEnvStore, spec: ProcessExecutionEnvSpec) -> str:
    """Store an environment and return its ref: the same spec always has the same one. Safe to repeat."""
    await store.put(spec.env_ref, spec.encode())
    return spec.env_ref


async def load_process_execution_env(store: ProcessExecutionEnvStore, env_ref: str) -> ProcessExecutionEnvSpec:
    """Read an environment.

    Raises:
        MissingEnvironmentError: ``missing process execution env``.
        PluginSessionError: ``failed to decode process execution env``.
    """
    data = await store.get(env_ref)
    if data is None:
        raise MissingEnvironmentError(f"missing process execution env `{env_ref}`", field="env_ref", value=env_ref)
    return ProcessExecutionEnvSpec.decode(data)
