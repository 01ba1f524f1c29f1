"""Starting processes: manifests, params, idempotence, batches."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from lash_core.client import LashClient
from lash_core.errors import (
    InvalidArgumentError,
    InvalidJsonError,
    InvalidRegistrationError,
    LimitExceededError,
    RegistrationConflictError,
    UnknownKindError,
)
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.manifest import KindManifest
from lash_core.model.process_input import EngineInput, ExternalInput
from lash_core.settings import load_settings
from tests.client.app_stub import REPORT, StubApp
from tests.client.conftest import AnyStores

RERUNNABLE = "rerunnable"


async def test_a_declared_kind_starts_with_what_its_manifest_says(stores: AnyStores) -> None:
    """Disposition, queue, timeout, signals and version come from the app."""
    lash = LashClient(stores, app=StubApp(REPORT))

    handle = await lash.enqueue("report.build", {"month": "2026-10"}, process_id="r-10", label="October")
    record = await handle.record()

    assert handle.created is True
    assert EngineInput(kind="report.build", payload={"month": "2026-10"}) == record.input
    assert ("slow", 60_000, "7", "October") == (
        record.queue,
        record.timeout_ms,
        record.app_version,
        record.identity.label,
    )
    assert EMPTY_ENV_REF == record.env_ref
    assert "host" == record.provenance.originator.scope_id
    assert record.event_type("signal.approve") is not None


async def test_a_kind_of_the_directory_is_enough(stores: AnyStores, lash: LashClient) -> None:
    """A worker published the manifest; the client needs no app."""
    await stores.directory.publish_kinds([REPORT])

    handle = await lash.enqueue("report.build", {"month": "2026-10"})

    assert "slow" == (await handle.record()).queue


async def test_an_unknown_kind_names_the_three_ways_out_and_writes_nothing(lash: LashClient) -> None:
    """Nobody knows the kind and nobody said how it recovers."""
    with pytest.raises(UnknownKindError) as caught:
        await lash.enqueue("nobody.knows", {})

    for way in ("worker whose app declares it", "--app", "--disposition"):
        assert way in str(caught.value)
    assert 0 == await lash.count()


async def test_an_explicit_disposition_is_the_third_way(lash: LashClient) -> None:
    """No signals are declared then, and params are the worker's to check."""
    handle = await lash.enqueue("nobody.knows", [1, 2], disposition="owner_bound")
    record = await handle.record()

    assert RecoveryDisposition.OWNER_BOUND is record.disposition
    assert "default" == record.queue


async def test_externally_owned_work_is_an_external_input(lash: LashClient) -> None:
    """Work outside lash has metadata and no environment."""
    handle = await lash.enqueue("build.farm", {"job": 7}, disposition="externally_owned")
    record = await handle.record()

    assert ExternalInput(metadata={"job": 7}) == record.input
    assert record.env_ref is None
    assert "build.farm" == record.identity.kind


async def test_a_disposition_that_contradicts_the_manifest_names_both(stores: AnyStores) -> None:
    """What the app declared is not overruled by a caller."""
    lash = LashClient(stores, app=StubApp(REPORT))

    with pytest.raises(InvalidArgumentError) as caught:
        await lash.enqueue("report.build", {"month": "2026-10"}, disposition="owner_bound")

    assert "owner_bound" in str(caught.value)
    assert "rerunnable" in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="must be one of rerunnable"):
        await lash.enqueue("other", disposition="maybe")


async def test_params_that_do_not_match_name_the_path(stores: AnyStores) -> None:
    """The kind's schema is applied before anything is sent."""
    lash = LashClient(stores, app=StubApp(REPORT))

    with pytest.raises(InvalidArgumentError) as caught:
        await lash.enqueue("report.build", {"month": 10})

    assert "params.month" == caught.value.field
    assert 0 == await lash.count()


async def test_a_pydantic_model_is_taken_as_params(stores: AnyStores) -> None:
    """What the worker validates may be built by the same class here."""

    class Params(BaseModel):
        month: str

    lash = LashClient(stores, app=StubApp(REPORT))
    handle = await lash.enqueue("report.build", Params(month="2026-10"))

    assert EngineInput(kind="report.build", payload={"month": "2026-10"}) == (await handle.record()).input


@pytest.mark.parametrize("bad_id", ["", "  ", " x", "a#b", "x" * 201, "a\nb"])
async def test_bad_ids_are_refused(lash: LashClient, bad_id: str) -> None:
    """An id that the registry would refuse is refused with its field."""
    with pytest.raises(InvalidRegistrationError) as caught:
        await lash.enqueue("k", process_id=bad_id, disposition=RERUNNABLE)

    assert "id" == caught.value.field


async def test_values_that_are_not_json_or_too_large_are_refused(lash: LashClient) -> None:
    """The path of the value and the limit are named."""
    with pytest.raises(InvalidJsonError) as not_json:
        await lash.enqueue("k", {"rate": float("nan")}, disposition=RERUNNABLE)
    with pytest.raises(LimitExceededError) as too_large:
        await lash.enqueue("k", "x" * 300_000, disposition=RERUNNABLE)

    assert "params.rate" == not_json.value.field
    assert load_settings().store.limits.payload_bytes_max == too_large.value.limit
    assert 0 == await lash.count()


async def test_the_same_request_again_is_the_same_process(lash: LashClient) -> None:
    """Safe to repeat after a lost reply."""
    first = await lash.enqueue("k", {"a": 1}, process_id="p", disposition=RERUNNABLE)
    again = await lash.enqueue("k", {"a": 1}, process_id="p", disposition=RERUNNABLE)

    assert (True, False) == (first.created, again.created)
    assert 1 == await lash.count()


async def test_the_same_request_under_a_newer_manifest_is_the_same_process(stores: AnyStores) -> None:
    """Decision 17: the manifest changed, not the request."""
    old = LashClient(stores, app=StubApp(REPORT))
    new = LashClient(stores, app=StubApp(REPORT.model_copy(update={"signals": {"other": True}})))
    await old.enqueue("report.build", {"month": "2026-10"}, process_id="p")

    again = await new.enqueue("report.build", {"month": "2026-10"}, process_id="p")

    assert again.created is False


@pytest.mark.parametrize(("params", "label"), [({"a": 2}, None), ({"a": 1}, "other"), ({"a": 1.5}, None)])
async def test_another_request_under_the_same_id_is_a_conflict(
    lash: LashClient, params: object, label: str | None
) -> None:
    """The id names one request, for good."""
    await lash.enqueue("k", {"a": 1}, process_id="p", disposition=RERUNNABLE)

    with pytest.raises(RegistrationConflictError):
        await lash.enqueue("k", params, process_id="p", label=label, disposition=RERUNNABLE)


async def test_many_answers_per_item(lash: LashClient) -> None:
    """One bad item spoils none of the others."""
    await lash.enqueue("k", {"n": 1}, process_id="there", disposition=RERUNNABLE)
    await lash.enqueue("k", {"n": 9}, process_id="taken", disposition=RERUNNABLE)

    items = await lash.enqueue_many(
        "k",
        [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}],
        ids=["new", "there", "taken", "bad#id"],
        disposition=RERUNNABLE,
    )

    assert ["created", "exists", "error", "error"] == [item.status for item in items]
    assert isinstance(items[2].error, RegistrationConflictError)
    assert isinstance(items[3].error, InvalidRegistrationError)
    assert items[0].handle is not None
    assert "running" == await items[0].handle.status()


async def test_many_without_ids_make_ids_that_sort_by_time(lash: LashClient) -> None:
    """Generated ids are distinct, and later ones sort later."""
    first = await lash.enqueue_many("k", [None] * 300, disposition=RERUNNABLE)
    second = await lash.enqueue_many("k", [None], disposition=RERUNNABLE)

    ids = [item.process_id for item in first]
    assert 300 == len(set(ids))
    assert ids == sorted(ids, key=lambda text: text[:18])
    assert max(text[:13] for text in ids) <= second[0].process_id[:13]
    assert 301 == await lash.count(status="running")


async def test_ids_and_params_must_pair(lash: LashClient) -> None:
    """A batch that does not pair is refused as a whole."""
    with pytest.raises(InvalidArgumentError):
        await lash.enqueue_many("k", [1, 2], ids=["a"], disposition=RERUNNABLE)


async def test_due_times(stores: AnyStores, lash: LashClient) -> None:
    """A delay counts from the server's clock; a delay and a time exclude each other."""
    now_ms = await stores.process_registry.server_time_ms()
    handle = await lash.enqueue("k", disposition=RERUNNABLE, delay_ms=60_000)
    due_at_ms = (await handle.record()).due_at_ms

    assert due_at_ms is not None
    assert 60_000 <= due_at_ms - now_ms <= 65_000
    with pytest.raises(InvalidArgumentError):
        await lash.enqueue("k", disposition=RERUNNABLE, delay_ms=1, at_ms=1)


async def test_an_unknown_option_is_a_type_error(lash: LashClient) -> None:
    """A misspelled option is an error and not a loss."""
    with pytest.raises(TypeError, match="lable"):
        await lash.enqueue("k", disposition=RERUNNABLE, lable="x")  # pyright: ignore[reportCallIssue]


async def test_prepare_writes_nothing(stores: AnyStores) -> None:
    """A dry run checks everything and sends nothing."""
    lash = LashClient(stores, app=StubApp(REPORT))

    registration = await lash.prepare("report.build", {"month": "2026-10"}, process_id="p")

    assert ("p", "slow") == (registration.id, registration.queue)
    assert await lash.get("p") is None


async def test_a_manifest_is_asked_for_once_in_half_a_minute(stores: AnyStores) -> None:
    """A burst of starts reads the directory once."""
    lash = LashClient(stores)
    await stores.directory.publish_kinds([KindManifest(kind="k", disposition=RecoveryDisposition.RERUNNABLE)])
    await lash.enqueue("k")
    await stores.directory.remove_kind("k")

    assert (await lash.enqueue("k")).created
