"""The worker's boundary: every check precedes any side effect, the first failure wins (contract 3.2)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lash_core.errors import WorkerBoundaryError
from lash_core.memory_store.content_stores import MemoryArtifactStore, MemoryAttachmentStore, MemoryProcessEnvStore
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.model.disposition import DurabilityTier, RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessOriginator, ProcessProvenance, SessionScope
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugin.stack import PluginStack
from lash_core.runtime.plugins import PluginFactory
from lash_core.runtime.process.engine import EngineRun, ProcessEngine
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_errors import DurableStoreFacet, durable_store_required
from lash_worker.worker import DurableProcessWorker
from lash_worker.worker_config import DurableProcessWorkerConfig

DURABLE, INLINE = DurabilityTier.DURABLE, DurabilityTier.INLINE


class DurableController:
    """A controller that calls itself durable and never comes to execute anything."""

    def durability_tier(self) -> DurabilityTier:
        return DURABLE

    async def execute_effect(self, envelope: Any, local_executor: Any) -> Any:
        raise AssertionError("the boundary refuses before any effect")


class DurableAttachments(MemoryAttachmentStore):
    def durability_tier(self) -> DurabilityTier:
        return DURABLE


class DurableArtifacts(MemoryArtifactStore):
    def durability_tier(self) -> DurabilityTier:
        return DURABLE


class DurableEnvironments(MemoryProcessEnvStore):
    def durability_tier(self) -> DurabilityTier:
        return DURABLE


class TierSessions:
    """A session-store factory of one tier that must not be asked for a session."""

    def __init__(self, tier: DurabilityTier) -> None:
        self._tier = tier

    def durability_tier(self) -> DurabilityTier:
        return self._tier

    async def create_store(self, request: Any) -> Any:
        raise AssertionError("the boundary refuses before a session is opened")

    async def open_existing_store(self, session_id: str) -> Any:
        raise AssertionError("the boundary refuses before a session is opened")

    async def delete_session(self, session_id: str) -> None:
        raise AssertionError(session_id)

    async def list_sessions(self, cursor: str | None = None, limit: int = 100) -> Any:
        raise AssertionError("the boundary lists nothing")

    async def live_attachment_refs(self, cutoff_ms: int) -> frozenset[str]:
        raise AssertionError(cutoff_ms)

    async def has_live_attachment_ref(self, digest: str) -> bool:
        raise AssertionError(digest)


class Echo:
    """An engine that answers its payload."""

    kind = "echo"

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        return ProcessAwaitOutput.success(run.payload)


class EchoFactory(PluginFactory):
    """Brings the echo engine."""

    plugin_id = "echo"

    def process_engines(self) -> tuple[ProcessEngine, ...]:
        return (Echo(),)


def worker(
    *,
    attachment: Any = None,
    artifact: Any = None,
    environments: Any = None,
    session_tier: DurabilityTier = DURABLE,
    registry_tier: DurabilityTier = DURABLE,
    host: RuntimeHostConfig | None = None,
) -> DurableProcessWorker:
    """A worker on a durable effect host with these stores; durable ones where none is given."""
    if host is None:
        host = RuntimeHostConfig.in_memory()
        host.control.effect_host = InlineEffectHost(DurableController())
        host.durability.attachment_store = attachment or DurableAttachments()
        host.durability.artifact_store = artifact or DurableArtifacts()
        host.durability.process_env_store = environments or DurableEnvironments()
    registry = MemoryProcessRegistry().with_durability_tier(registry_tier)
    return DurableProcessWorker.new(
        DurableProcessWorkerConfig.from_plugin_factories([EchoFactory()], host, TierSessions(session_tier), registry)
    )


def external(process_id: str = "worker-boundary-process", **facts: Any) -> ProcessRegistration:
    """An external process."""
    return ProcessRegistration(
        id=process_id,
        input=ProcessInput.external({"label": "x"}),
        disposition=RecoveryDisposition.EXTERNALLY_OWNED,
        **facts,
    )


def echo(**facts: Any) -> ProcessRegistration:
    """A process of the echo engine."""
    values: dict[str, Any] = {
        "id": "p",
        "input": ProcessInput.engine("echo", 7),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "env_ref": EMPTY_ENV_REF,
    }
    return ProcessRegistration(**(values | facts))


async def refusal(of: DurableProcessWorker, registration: ProcessRegistration) -> str:
    """The text with which a run is refused."""
    with pytest.raises(WorkerBoundaryError) as caught:
        await of.run_process(registration)
    return str(caught.value)


@pytest.mark.parametrize(
    ("parts", "facet"),
    [
        ({"attachment": MemoryAttachmentStore()}, DurableStoreFacet.ATTACHMENT_STORE),
        ({"artifact": MemoryArtifactStore()}, DurableStoreFacet.ARTIFACT_STORE),
        ({"environments": MemoryProcessEnvStore()}, DurableStoreFacet.PROCESS_ENV_STORE),
        ({"session_tier": INLINE}, DurableStoreFacet.SESSION_STORE),
        ({"registry_tier": INLINE}, DurableStoreFacet.PROCESS_REGISTRY),
    ],
)
async def test_durable_worker_refuses_an_ephemeral_store(parts: dict[str, Any], facet: DurableStoreFacet) -> None:
    """A durable effect host with a store that forgets fails loudly before anything runs."""
    assert str(durable_store_required(facet)) == await refusal(worker(**parts), external())


async def test_facets_are_checked_in_their_order() -> None:
    """Of several ephemeral stores the first in the order of decision 19 is named."""
    both = worker(artifact=MemoryArtifactStore(), session_tier=INLINE, registry_tier=INLINE)

    assert str(durable_store_required(DurableStoreFacet.ARTIFACT_STORE)) == await refusal(both, external())


async def test_worker_with_all_durable_stores_passes() -> None:
    """External work is answered with its metadata, without a runtime."""
    assert Success(value={"metadata": {"label": "x"}}) == await worker().run_process(external())


async def test_inline_worker_passes_with_ephemeral_stores() -> None:
    """Only a durable effect host makes demands."""
    inline = worker(host=RuntimeHostConfig.in_memory(), session_tier=INLINE, registry_tier=INLINE)

    assert Success(value={"metadata": {"label": "x"}}) == await inline.run_process(external())
    assert Success(value=7) == await inline.run_process(echo())


@pytest.mark.parametrize("process_id", ["", "   "])
async def test_blank_id_is_refused_first(process_id: str) -> None:
    """Also before the profile and the stores, with the code of a missing execution id."""
    broken = worker(attachment=MemoryAttachmentStore())
    registration = external(process_id, provenance=ProcessProvenance(host_profile_id="elsewhere"))

    assert (await refusal(broken, registration)).startswith("missing_process_execution_id")


async def test_host_without_a_static_scope_is_refused() -> None:
    """A worker needs a controller that outlives every turn."""

    class Turnwise(InlineEffectHost):
        def scoped_static(self, scope: Any) -> None:
            return None

    host = RuntimeHostConfig.in_memory()
    host.control.effect_host = Turnwise()

    assert "process worker effect host must provide a static process scope" == await refusal(
        worker(host=host), external()
    )


async def test_foreign_host_profile_is_refused_before_the_stores_are_looked_at() -> None:
    """A direct run answers with the error; a blank profile fits everywhere."""
    broken = worker(attachment=MemoryAttachmentStore())
    registration = external(provenance=ProcessProvenance(host_profile_id="a"))

    assert "process `worker-boundary-process` was created for host profile `a` but this worker is ``" == await refusal(
        broken, registration
    )


async def test_externally_owned_engine_input_is_never_executed() -> None:
    """Decision 27."""
    registration = echo(disposition=RecoveryDisposition.EXTERNALLY_OWNED)

    assert "is externally-owned and must not be executed by lash" in await refusal(worker(), registration)


async def test_owner_scope_is_asked_for_only_without_an_environment() -> None:
    """Decision 14: a captured environment needs no session; without one the originator's session is rebuilt."""
    assert Success(value=7) == await worker().run_process(echo())
    assert "process `p` is missing a structured owner scope" == await refusal(worker(), echo(env_ref=None))

    session = ProcessProvenance(originator=ProcessOriginator.session(SessionScope(session_id="s")))
    # The echo engine asks for no runtime, so the session is not opened (decision 15).
    assert Success(value=7) == await worker().run_process(echo(env_ref=None, provenance=session))


async def test_direct_run_writes_nothing() -> None:
    """Decision 27: a process without a row runs without a start fact."""
    direct = worker()
    await direct.run_process(echo())

    assert await direct.config.process_registry.get_process("p") is None


async def test_unknown_engine_kind_is_an_outcome_of_a_direct_run() -> None:
    """Decision 36: the sweep declines it, a direct run answers."""
    output = await worker().run_process(echo(input=ProcessInput.engine("nobody")))

    assert isinstance(output, FailureOutput)
    assert ("execution", "process_engine_missing") == (output.class_.value, output.code)


def test_configurations_are_built_alike_and_copied_with_changes() -> None:
    """``new``, factories and stack give the same parts; ``with_…`` answers a copy."""
    host, registry, sessions = RuntimeHostConfig.in_memory(), MemoryProcessRegistry(), TierSessions(INLINE)
    plugin_host = PluginHost()
    plain = DurableProcessWorkerConfig.new(plugin_host, host, sessions, registry)
    stacked = DurableProcessWorkerConfig.from_plugin_stack(PluginStack([EchoFactory()]), host, sessions, registry)

    assert plain.plugin_host is plugin_host
    assert ("echo",) == stacked.plugin_host.process_engines.kinds
    changed = plain.with_residency(Residency.ACTIVE_PATH_ONLY).with_session_policy(cast("Any", plain.session_policy))
    assert (Residency.KEEP_ALL, Residency.ACTIVE_PATH_ONLY) == (plain.residency, changed.residency)
    assert DurableProcessWorker.from_shared_config(plain).config is plain


async def test_what_is_not_configured_is_skipped_but_for_four() -> None:
    """Decision 19: a host without an environment store is a whole host; one without attachments is not."""
    without = worker()
    without.config.runtime_host.durability.process_env_store = None

    assert Success(value={"metadata": {"label": "x"}}) == await without.run_process(external())

    without.config.runtime_host.durability.attachment_store = cast("Any", None)
    assert str(durable_store_required(DurableStoreFacet.ATTACHMENT_STORE)) == await refusal(without, external())


async def test_a_run_that_builds_no_runtime_needs_no_environment_store() -> None:
    """Runs that never ask for a runtime do not need one (decision 15)."""
    bare = worker(host=RuntimeHostConfig.in_memory())
    bare.config.runtime_host.durability.process_env_store = None

    assert Success(value=7) == await bare.run_process(echo())
