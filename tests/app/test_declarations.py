"""What may be declared, and the manifests made from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from lash_core.errors import SettingsError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import WAKE_TYPE
from lash_core.model.payload_schema import schema_fault
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.process.engine import DuplicateEngineError
from lash_worker import App
from tests.app.kit import Bench

if TYPE_CHECKING:
    from decimal import Decimal


class Approval(BaseModel):
    by: str


class Params(BaseModel):
    month: str
    copies: int = 1


async def plain(ctx: ProcessContext, params: Params) -> dict[str, int]:
    """Does nothing."""
    return {"copies": params.copies}


def declared(function: Any = plain, **facts: Any) -> App:
    app = App("reports", version="3")
    declaration: dict[str, Any] = {"disposition": "rerunnable"}
    app.process("report.build", **(declaration | facts))(function)
    return app


def test_a_manifest_says_all_that_was_declared() -> None:
    """Schemas come from the annotations."""
    retry = RetryPolicy(attempts_max=3)
    manifest = declared(
        queue="slow",
        signals={"approve": Approval},
        event_types=["note", WAKE_TYPE],
        timeout_ms=5,
        version="3",
        retry=retry,
    ).manifests()["report.build"]

    assert ("report.build", RecoveryDisposition.RERUNNABLE, "reports", "3", "3", "slow", 5, retry) == (
        manifest.kind,
        manifest.disposition,
        manifest.app,
        manifest.app_version,
        manifest.version_pin,
        manifest.queue,
        manifest.timeout_ms,
        manifest.retry_policy,
    )
    assert ["signal.approve", "note", "process.wake"] == [item.name for item in manifest.all_event_types()]
    assert ["month"] == manifest.params_schema["required"]
    assert schema_fault(manifest.signals["approve"], {"by": 7}) is not None
    assert schema_fault(manifest.signals["approve"], {"by": "ops"}) is None
    assert {"type": "integer"} == manifest.result_schema["additionalProperties"]


async def test_a_manifest_makes_rows_that_the_registry_takes() -> None:
    """The client registers what it says."""
    app = declared(signals={"approve": Approval, "anything": None, "schema": {"type": "integer"}})
    with Bench(app, InMemoryStores()) as bench:
        context = await bench.claim("report.build", {"month": "2026-10"})

    assert context.record is not None
    names = [event_type.name for event_type in context.record.event_types]
    assert ["signal.anything", "signal.approve", "signal.schema"] == names[:3]


def test_unannotated_functions_have_no_schema_and_those_without_params_take_none() -> None:
    """None means unknown; the other one is exact."""

    async def raw(ctx, params):  # type: ignore[no-untyped-def]
        return params

    async def none(ctx: ProcessContext) -> None:
        return None

    assert declared(raw).manifests()["report.build"].params_schema is None
    assert declared(raw).manifests()["report.build"].result_schema is None
    schema = declared(none).manifests()["report.build"].params_schema
    assert [None, None, True] == [
        schema_fault(schema, None),
        schema_fault(schema, {}),
        schema_fault(schema, {"x": 1}) and True,
    ]


def test_the_function_is_returned_unchanged() -> None:
    """It can be called and tested as what it is."""
    assert plain is App("a").process("k", disposition="owner_bound")(plain)
    assert plain is App("a").tool("t")(plain)


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"disposition": "whatever"}, "disposition"),
        ({"queue": "no spaces"}, "queue"),
        ({"signals": {"no spaces": None}}, "signals"),
        ({"event_types": ["process.completed"]}, "event_types"),
        ({"event_types": ["note", "note"]}, "event_types"),
        ({"event_types": ["signal.x"]}, "event_types"),
        ({"event_types": [" "]}, "event_types"),
        ({"timeout_ms": 0}, "timeout_ms"),
    ],
)
def test_bad_declarations_are_refused_where_they_stand(facts: dict[str, Any], field: str) -> None:
    """With the kind, the field and the value."""
    with pytest.raises(SettingsError, match=r"process `report\.build`") as caught:
        declared(**facts)

    assert field == caught.value.field


@pytest.mark.parametrize("kind", ["", " ", "no spaces", "ü", "x" * 129, ".dot", "a#b"])
def test_kind_and_app_names_are_checked(kind: str) -> None:
    """They end in metrics, logs and command lines."""
    with pytest.raises(SettingsError, match="process kind"):
        App("a").process(kind, disposition="rerunnable")
    with pytest.raises(SettingsError, match="app name"):
        App(kind)


def test_a_kind_or_tool_is_declared_once() -> None:
    """In an app, and in a worker of several apps."""
    app = declared()
    with pytest.raises(SettingsError, match=r"`report\.build` is declared twice in app `reports`"):
        app.process("report.build", disposition="rerunnable")
    app.tool("t")(plain)
    with pytest.raises(SettingsError, match="tool `t` is declared twice"):
        app.tool("t")
    other = App("other")
    other.process("report.build", disposition="rerunnable")(plain)
    with pytest.raises(DuplicateEngineError, match=r"report\.build"):
        PluginHost([app.plugin_factory(), other.plugin_factory()])


def no_parameters() -> None: ...
def keyword_only(ctx: Any, *, params: Any) -> None: ...
def third_required(ctx: Any, params: Any, more: Any) -> None: ...
def generator(ctx: Any) -> Iterator[int]:
    yield 1


async def async_generator(ctx: Any) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [no_parameters, keyword_only, third_required, generator, async_generator])
def test_functions_of_another_shape_are_refused(function: Any) -> None:
    """At the declaration, not at the first run."""
    with pytest.raises(SettingsError, match=r"process `report\.build`"):
        declared(function)


def test_an_annotation_that_is_not_there_at_run_time_is_named() -> None:
    """Imported for type checkers only, say."""

    async def hidden(ctx: ProcessContext, params: Decimal) -> None: ...

    with pytest.raises(SettingsError, match="annotation of `params` cannot be resolved: name 'Decimal'"):
        declared(hidden).manifests()


def test_the_contexts_annotation_need_not_be_there() -> None:
    """It is never looked at."""

    async def hidden(ctx: Decimal, params: int) -> None: ...

    assert {"type": "integer"} == declared(hidden).manifests()["report.build"].params_schema


class NoData:
    """A class that pydantic knows nothing about."""


def test_types_that_are_no_data_are_refused() -> None:
    """Params, results and signals."""

    async def params(ctx: ProcessContext, params: NoData) -> None: ...
    async def result(ctx: ProcessContext) -> NoData: ...

    for function, name in ((params, "params"), (result, "return")):
        with pytest.raises(SettingsError, match=f"`{name}` has a type that is no JSON data"):
            declared(function).manifests()
    with pytest.raises(SettingsError, match="signal `x` has a type that is no JSON data"):
        declared(signals={"x": NoData}).manifests()


async def test_params_and_schema_agree() -> None:
    """What the client's check lets pass is what the function can take."""
    app = declared()
    schema = app.manifests()["report.build"].params_schema
    with Bench(app) as bench:
        for params in ({"month": "m"}, {"month": "m", "copies": 2}, {}, {"month": 1}, None, [1]):
            ended = (await bench.run("report.build", params)).state
            assert (schema_fault(schema, params) is None) == (ended == "completed")
