"""The rules of a start: origin, wake target, handle, environment, engine (contract 4.2)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lash_core.errors import MissingEnvironmentError, UnknownSessionError
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT, ProcessExecutionEnvSpec
from lash_core.model.process_command import ProcessStartOptions, StartProcess
from lash_core.model.process_input import EngineInput, ProcessIdentity
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionOriginator
from lash_core.runtime.process.engine import ProcessEngineRegistry
from lash_core.runtime.process.op_scope import ProcessOpScope
from lash_core.store.process_env_store import ProcessExecutionEnvStore, load_process_execution_env
from lash_core.store.runtime_persistence import SessionStoreFactory


@runtime_checkable
class ChecksStarts(Protocol):
    """An engine that looks at a start before it is made. Pure: a replay asks again."""

    def check_start(self, registration: ProcessRegistration, env: ProcessExecutionEnvSpec) -> ProcessIdentity | None:
        """Refuse the start by raising, or answer the identity to publish; None keeps the registration's.

        Raises:
            PluginSessionError, InvalidArgumentError: the payload is not one that this engine runs.
        """
        ...


class ProcessStarts:
    """Makes the command of a start. Nothing here starts anything.

    Args:
        session_id: the session that this belongs to; it is known without asking.
        env_store: where captured environments are; None = this host has none.
        engines: asked before processes of their kinds start; a kind that is not here may be run by other workers.
        session_store_factory: knows the other sessions; None = there are none.
        host_profile_id: of the host, for the provenance.
    """

    def __init__(
        self,
        session_id: str,
        *,
        env_store: ProcessExecutionEnvStore | None = None,
        engines: ProcessEngineRegistry | None = None,
        session_store_factory: SessionStoreFactory | None = None,
        host_profile_id: str = "",
    ) -> None:
        self._session_id = session_id
        self._env_store = env_store
        self._engines = engines
        self._sessions = session_store_factory
        self._host_profile_id = host_profile_id

    async def command(
        self, session_id: str, registration: ProcessRegistration, options: ProcessStartOptions, scope: ProcessOpScope
    ) -> StartProcess:
        """The start as it will be registered.

        The originator and wake target of the chain come from ``options.spawn_provenance``, else they are the asking
        scope; what the registration says of its origin is not believed. The handle goes to the wake target alone:
        without one, and without a descriptor, nobody gets any.

        Raises:
            UnknownSessionError. MissingEnvironmentError, PluginSessionError: the environment.
            InvalidRegistrationError; what the engine raises.
        """
        await self._require_session(session_id)
        creator = scope.session_scope(session_id)
        spawn = options.spawn_provenance
        wake_target = creator if spawn is None else spawn.wake_target
        parent = scope.parent_invocation
        provenance = ProcessProvenance(
            SessionOriginator(scope=creator) if spawn is None else spawn.originator,
            caused_by=None if parent is None else parent.causal_ref,
            host_profile_id=self._host_profile_id,
        )
        ready = registration.with_provenance(provenance).with_wake_target(wake_target)
        ready = (await self._checked_by_engine(ready)).validated()
        grant_to = wake_target if options.descriptor is not None else None
        return StartProcess(ready, grant_to=grant_to, descriptor=options.descriptor if grant_to else None)

    async def _require_session(self, session_id: str) -> None:
        if session_id == self._session_id:
            return
        if self._sessions is None or await self._sessions.open_existing_store(session_id) is None:
            raise UnknownSessionError(session_id)

    async def _checked_by_engine(self, registration: ProcessRegistration) -> ProcessRegistration:
        if not isinstance(registration.input, EngineInput) or registration.env_ref is None:
            return registration
        env = await self._environment(registration.env_ref)
        engine = None if self._engines is None else self._engines.get(registration.input.kind)
        if not isinstance(engine, ChecksStarts):
            return registration
        identity = engine.check_start(registration, env)
        return registration if identity is None else registration.with_identity(identity)

    async def _environment(self, env_ref: str) -> ProcessExecutionEnvSpec:
        if env_ref == EMPTY_ENV_REF:
            return EMPTY_ENVIRONMENT
        if self._env_store is None:
            raise MissingEnvironmentError(
                f"missing process execution env `{env_ref}`: this host has no environment store",
                field="env_ref",
                value=env_ref,
            )
        return await load_process_execution_env(self._env_store, env_ref)
