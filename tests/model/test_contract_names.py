"""Names and forms that the contract spells, as a reader of the contract alone would write them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast, get_args

import pytest
from pydantic import ValidationError

import lash_core
import lash_worker
from lash_core import model
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model import (
    CausalRef,
    CompletionAuthority,
    FailureOutput,
    LeaseOwnerIdentity,
    LocalProcessLiveness,
    ProcessAwaitOutput,
    ProcessHandleDescriptor,
    ProcessInput,
    ProcessPage,
    ProcessRegistration,
    QueuedWorkDraft,
    Resolution,
    SessionScope,
    Success,
)
from lash_core.model.owner import is_provably_dead


class EverybodyIsDead:
    """A process table that finds no process."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """Always."""
        del pid, process_start
        return True


def test_canonical_json_is_the_function_whatever_was_imported_before() -> None:
    """The module of the same name must not stand in its place."""
    script = (
        "import lash_core.client; from lash_core.model import canonical_json; print(canonical_json({'b': 1, 'a': 2}))"
    )

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert '{"a":2,"b":1}\n' == answer.stdout


def test_records_of_sessions_have_the_contracts_names() -> None:
    """Also those that are one of several, or the same record as another."""
    assert (model.RootRelation, model.ChildRelation) == get_args(model.SessionRelation)
    assert model.SessionExecutionLeaseFence is model.SessionExecutionLeaseCompletion


def test_stores_and_contexts_stand_at_the_top() -> None:
    """What every program needs is found without knowing the folders."""
    from lash_core.memory_store import InMemoryStores as in_memory  # noqa: PLC0415, N813
    from lash_core.redis_store import RedisStores as redis  # noqa: PLC0415, N813
    from lash_core.runtime import ProcessContext, ToolContext  # noqa: PLC0415

    assert (in_memory, redis) == (lash_core.InMemoryStores, lash_core.RedisStores)
    assert (ProcessContext, ToolContext) == (lash_worker.ProcessContext, lash_worker.ToolContext)


def test_an_authority_is_made_under_its_own_name() -> None:
    """``workflow_key{workflow_key}``: the name makes one, and is its field."""
    made = cast("Any", CompletionAuthority).workflow_key("orders")

    assert CompletionAuthority(type="workflow_key", workflow_key="orders") == made
    assert "orders" == made.workflow_key
    assert {"type": "workflow_key", "workflow_key": "orders"} == made.to_json_value()
    assert None is CompletionAuthority.reconciled_abandon().workflow_key


def test_tagged_forms_are_read_by_their_family() -> None:
    """A caller that has only JSON need not know which of the family it is."""
    assert ProcessInput.engine("k", 1) == ProcessInput.model_validate({"type": "engine", "kind": "k", "payload": 1})
    assert Success({"a": 1}) == ProcessAwaitOutput.model_validate({"type": "success", "value": {"a": 1}})
    assert Success(1) == Success.model_validate({"type": "success", "value": 1})


def test_a_failure_is_written_with_its_class() -> None:
    """``class``, not the Python name, however it is dumped."""
    output = FailureOutput("timeout", "process_timeout", "late")  # pyright: ignore[reportArgumentType]

    assert "timeout" == output.model_dump(mode="json")["class"]
    assert output == ProcessAwaitOutput.model_validate(output.model_dump(mode="json"))


def test_liveness_that_misses_a_part_proves_nothing() -> None:
    """Decision 35: any part missing is opaque, on either side."""
    full: dict[str, Any] = {"host_id": "h", "boot_id": "b", "pid_namespace": "n", "pid": 7, "process_start": 1}
    other: dict[str, Any] = {"pid": 8}
    claimant = LeaseOwnerIdentity("c", "1", LocalProcessLiveness(**(full | other)))
    table = EverybodyIsDead()

    assert is_provably_dead(LeaseOwnerIdentity("o", "1", LocalProcessLiveness(**full)), claimant, table)
    for part in full:
        for partial in (
            {name: value for name, value in full.items() if name != part},
            full | {part: None},
        ):
            liveness: Any = {"type": "local_process", **partial}
            owner = LeaseOwnerIdentity("o", "1", liveness)
            assert not is_provably_dead(owner, claimant, table), part
            assert not is_provably_dead(claimant, owner, table), part


def test_causes_and_resolutions_have_factories() -> None:
    """In the order in which the contract names their facts."""
    cause = CausalRef.trigger_occurrence("o", "s", 1, 2)

    assert cause == CausalRef.model_validate(
        {"type": "trigger_occurrence", "occurrence_id": "o", "subscription_id": "s", "incarnation": 1, "revision": 2}
    )
    assert ["timeout", "cancelled"] == [Resolution.timeout().type, Resolution.cancelled().type]


def test_a_captured_environment_under_the_seed_name() -> None:
    """``with_execution_env_ref`` and ``with_env_ref`` are one."""
    plain = ProcessRegistration("p", ProcessInput.engine("k"), cast("Any", "rerunnable"))

    assert plain.with_env_ref("process-env:sha256:x") == plain.with_execution_env_ref("process-env:sha256:x")


def test_a_scope_says_its_id() -> None:
    """Under the contract's name and the first form's."""
    frame = SessionScope.for_agent_frame("s", "f")

    assert "session:s/frame:f" == frame.scope_id == frame.id()


def test_a_page_reads_like_a_list() -> None:
    """Rows, not pairs of fields."""
    page = ProcessPage(items=())

    assert ([], 0, None) == (list(page), len(page), page.next_cursor)


def test_queued_work_under_the_names_of_the_contract() -> None:
    """Section 1.10 spells two fields shorter than the operation that takes them; stored is one form."""
    payloads = [{"type": "turn_input", "input": {"items": [{"type": "text", "text": "hi"}]}}]
    short = {"session_id": "s", "delivery": "after_current_turn_commit", "slot": "exclusive", "payloads": payloads}
    draft = QueuedWorkDraft.model_validate(short)

    assert ("after_current_turn_commit", "exclusive") == (draft.delivery, draft.slot)
    assert (draft.delivery, draft.slot) == (draft.delivery_policy, draft.slot_policy)
    assert draft == QueuedWorkDraft.model_validate(draft.to_json_value())
    assert {"delivery", "slot"}.isdisjoint(draft.to_json_value())
    with pytest.raises(ValidationError):
        QueuedWorkDraft.model_validate({**short, "delivery_policy": "earliest_safe_boundary"})


async def test_grants_under_the_names_of_the_contract() -> None:
    """Section 2.3's short names, and the two that the first form used."""
    source, target, descriptor = SessionScope("s"), SessionScope("t"), ProcessHandleDescriptor("engine", "l")
    async with InMemoryStores() as stores:
        registry = stores.process_registry
        await registry.register_process(
            ProcessRegistration("p", ProcessInput.external({}), cast("Any", "externally_owned"))
        )
        granted = await registry.grant(source, "p", descriptor)
        await registry.transfer(source, target, ["p"])

        assert (False, True) == (await registry.has(source, "p"), await registry.has(target, "p"))
        assert (granted.descriptor,) == tuple(grant.descriptor for grant in await registry.grants_for_process("p"))
        listings = [
            await registry.list(target),
            await registry.list_handle_grants(target),
            await registry.list_live(target),
            await registry.list_live_handle_grants(target),
        ]
        assert [await registry.list_handles(target)] * 4 == listings
        await registry.revoke(target, "p")
        assert () == await registry.list(target)
        assert None is await registry.get_lease("p")


@pytest.mark.parametrize("name", ["ProcessContext", "ToolContext"])
def test_worker_package_lists_what_functions_are_given(name: str) -> None:
    """An app imports everything it needs from one place."""
    assert name in lash_worker.__all__
