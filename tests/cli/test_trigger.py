"""``lash trigger``: what the commands print and how they exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lash_core import errors
from lash_worker.cli.exit_codes import exit_code
from tests.cli.conftest import Lash

K = ("--kind", "job", "--disposition", "rerunnable")
NIGHTLY = ("trigger", "create", "nightly", *K, "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")


def test_create_says_whether_it_is_new(lash: Lash) -> None:
    """The same command again is harmless."""
    made = lash.ok(*NIGHTLY, "--params", '{"a": 1}', "--json").json

    assert ("nightly", "created", 1) == (made["name"], made["status"], made["revision"])
    assert made["id"].startswith("trigger-subscription:v1:sha256:")
    assert "unchanged" == lash.ok(*NIGHTLY, "--params", '{"a": 1}', "--json").json["status"]
    assert "unchanged nightly: 0 3 * * * (Europe/Berlin) starts job\n" == lash.ok(*NIGHTLY, "--params", '{"a":1}').out


def test_another_definition_is_a_conflict(lash: Lash) -> None:
    """Exit code 4, and update does it."""
    lash.ok(*NIGHTLY)
    other = ("nightly", *K, "--every", "10m", "--missed", "all", "--missed-within", "2h", "--json")

    ended = lash("trigger", "create", *other)
    assert (4, "trigger_conflict") == (ended.code, ended.error["code"])
    assert 4 == lash("trigger", "update", *other, "--revision", "7").code

    updated = lash.ok("trigger", "update", *other, "--revision", "1").json
    assert ("updated", 2) == (updated["status"], updated["revision"])
    schedule = lash.ok("trigger", "get", "nightly", "--json").json["schedule"]
    assert (600_000, "all", 7_200_000) == (schedule["interval_ms"], schedule["missed"], schedule["missed_within_ms"])


def test_get_and_ls_show_the_next_tick(lash: Lash) -> None:
    """For programs and for people."""
    lash.ok(*NIGHTLY)
    lash.ok("trigger", "create", "orders", *K, "--source", "webhook:orders:eu")

    shown = lash.ok("trigger", "get", "nightly", "--json").json
    assert ("host", "live", "job", None) == (shown["owner"], shown["state"], shown["kind"], shown["source"])
    assert isinstance(shown["next_tick_ms"], int)
    items = {item["name"]: item for item in lash.ok("trigger", "ls", "--json").json["items"]}
    assert shown == items["nightly"]
    assert ("webhook:orders:eu", None) == (items["orders"]["source"], items["orders"]["next_tick_ms"])
    assert "0 3 * * * (Europe/Berlin)" in lash.ok("trigger", "ls").out
    assert "webhook:orders:eu" in lash.ok("trigger", "get", "orders").out
    assert [] == lash.ok("trigger", "ls", "--owner", "platform", "--json").json["items"]
    assert "no trigger" in lash.ok("trigger", "ls", "--owner", "session:s").out


def test_pages(lash: Lash) -> None:
    """The cursor goes on where a page ended."""
    for name in ("a", "b", "c"):
        lash.ok("trigger", "create", name, *K, "--source", "w:k")

    first = lash.ok("trigger", "ls", "--limit", "2", "--json").json
    rest = lash.ok("trigger", "ls", "--limit", "2", "--cursor", first["next_cursor"], "--json").json

    assert {"a", "b", "c"} == {item["name"] for item in first["items"] + rest["items"]}
    assert rest["next_cursor"] is None


def test_pause_resume_delete_prune(lash: Lash) -> None:
    """Each says what the trigger is now; a name is free after its prune."""
    lash.ok(*NIGHTLY)

    assert {"name": "nightly", "state": "paused", "status": "updated", "revision": 2} == (
        lash.ok("trigger", "pause", "nightly", "--json").json
    )
    assert lash.ok("trigger", "get", "nightly", "--json").json["next_tick_ms"] is None
    assert "unchanged" == lash.ok("trigger", "pause", "nightly", "--json").json["status"]
    assert 4 == lash("trigger", "resume", "nightly", "--revision", "1").code
    assert "nightly is live (updated)\n" == lash.ok("trigger", "resume", "nightly").out
    assert {"pruned": [], "kept": ["nightly"]} == lash.ok("trigger", "prune", "nightly", "--json").json
    assert "deleted" == lash.ok("trigger", "delete", "nightly", "--json").json["state"]
    again = lash.ok("trigger", "delete", "nightly", "--json").json
    assert ("deleted", "unchanged", 4) == (again["state"], again["status"], again["revision"])
    assert 4 == lash("trigger", "delete", "nightly", "--revision", "3").code
    assert [] == lash.ok("trigger", "ls", "--json").json["items"]
    assert "deleted" == lash.ok("trigger", "ls", "--deleted", "--json").json["items"][0]["state"]
    assert 4 == lash(*NIGHTLY).code
    assert 4 == lash("trigger", "pause", "nightly").code
    assert {"pruned": ["nightly"], "kept": []} == lash.ok("trigger", "prune", "nightly", "--json").json
    assert "created" == lash.ok(*NIGHTLY, "--json").json["status"]


def test_update_revives_what_was_deleted(lash: Lash) -> None:
    """Under the same name, with the revision going on."""
    lash.ok(*NIGHTLY)
    lash.ok("trigger", "delete", "nightly")

    revived = lash.ok("trigger", "update", *NIGHTLY[2:], "--json").json

    assert ("updated", 3) == (revived["status"], revived["revision"])
    assert "live" == lash.ok("trigger", "get", "nightly", "--json").json["state"]


def test_emit_starts_processes(lash: Lash) -> None:
    """The same key again starts nothing."""
    lash.ok("trigger", "create", "orders", *K, "--source", "webhook:orders", "--params", '{"n": {"$payload": "/n"}}')
    line = ("trigger", "emit", "webhook:orders", "--payload", '{"n": 7}', "--key", "d-1", "--json")

    first, again = lash.ok(*line).json, lash.ok(*line).json

    assert ("created", "exists") == (first["status"], again["status"])
    assert ["started"] == [one["status"] for one in first["deliveries"]]
    assert ["already_reserved"] == [one["status"] for one in again["deliveries"]]
    row = lash.ok("process", "get", first["deliveries"][0]["process_id"], "--json").json
    assert ("job", "orders") == (row["kind"], row["label"])
    assert 4 == lash(*line[:4], '{"n": 8}', *line[5:]).code
    assert "nobody listens" in lash.ok("trigger", "emit", "webhook:none").out


def test_emit_with_a_delivery_that_is_given_up(lash: Lash) -> None:
    """Exit code 1; the list of failures has the reason; emit again after the cause is mended."""
    lash.ok("trigger", "create", "t", *K, "--source", "w:k", "--params", '{"n": {"$payload": "/n"}}')

    ended = lash("trigger", "emit", "w:k", "--payload", "{}", "--key", "x", "--json")

    assert 1 == ended.code
    assert [("failed", False)] == [(one["status"], one["will_retry"]) for one in ended.json["deliveries"]]
    kept = lash.ok("trigger", "failed", "--json").json["items"]
    assert [("t", ended.json["id"])] == [(one["name"], one["occurrence_id"]) for one in kept]
    assert "did not match" in lash.ok("trigger", "failed").out


def test_backfill_makes_up_for_past_ticks(lash: Lash) -> None:
    """Dry first, then for real, then again: nothing twice."""
    lash.ok(*NIGHTLY)
    line = ("trigger", "backfill", "nightly", "--from", "2026-03-28T00:00:00Z", "--to", "2026-03-31T00:00:00Z")

    planned = lash.ok(*line, "--dry-run", "--json").json["items"]
    assert {"planned"} == {one["status"] for one in planned}
    # 3 in the morning in Berlin, over the night in which the clock skips from 2 to 3.
    assert ["2026-03-28T02:00", "2026-03-29T01:00", "2026-03-30T01:00"] == [
        line.split()[0][:16] for line in lash.ok(*line, "--dry-run").out.splitlines() if line.startswith("2026")
    ]
    assert {"count": 0} == lash.ok("process", "ls", "--count", "--json").json

    done = lash.ok(*line, "--json").json["items"]
    again = lash.ok(*line, "--json").json["items"]

    assert [("started")] * 3 == [one["status"] for one in done]
    assert ["exists"] * 3 == [one["status"] for one in again]
    assert [one["process_id"] for one in done] == [one["process_id"] for one in again]
    assert {"count": 3} == lash.ok("process", "ls", "--count", "--json").json


def test_backfill_refuses_what_it_cannot_do(lash: Lash) -> None:
    """Too many ticks, an empty span, no schedule, a paused trigger: nothing is started."""
    lash.ok("trigger", "create", "often", *K, "--every", "1m")
    lash.ok("trigger", "create", "src", *K, "--source", "w:k")
    span = ("--from", "2026-03-01T00:00:00Z", "--to", "2026-03-31T00:00:00Z", "--json")

    for name, code, field in (("often", 2, "limit"), ("src", 2, "name"), ("none", 3, "name")):
        ended = lash("trigger", "backfill", name, *span)
        assert (code, field) == (ended.code, ended.error["field"]), name
    empty = lash("trigger", "backfill", "often", *span[2:4], "--from", "2026-04-01T00:00:00Z", "--json")
    assert 2 == empty.code
    lash.ok("trigger", "pause", "often")
    paused = lash("trigger", "backfill", "often", *span[:2], "--to", "2026-03-01T00:05:00Z", "--json")
    assert (1, "trigger_paused") == (paused.code, paused.error["code"])
    assert {"count": 0} == lash.ok("process", "ls", "--count", "--json").json


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ((), "cron"),
        (("--cron", "0 3 * * *", "--every", "1h"), "cron"),
        (("--cron", "0 25 * * *"), "cron"),
        (("--cron", "0 3 * * *", "--timezone", "Berlin"), "timezone"),
        (("--every", "10ms"), "interval_ms"),
        (("--source", "nocolon"), "source"),
        (("--source", "w:k", "--timezone", "UTC"), "timezone"),
        (("--every", "1h", "--params", '{"a": {"$payload": 1}}'), "params.a"),
        (("--every", "1h", "--queue", "no queue"), "queue"),
    ],
)
def test_bad_input(lash: Lash, args: tuple[str, ...], field: str) -> None:
    """Exit code 2 naming the field; nothing is there afterwards."""
    ended = lash("trigger", "create", "t", *K, *args, "--json")

    assert (2, field) == (ended.code, ended.error["field"]), ended
    assert 3 == lash("trigger", "get", "t").code


def test_an_unknown_kind_is_bad_input(lash: Lash) -> None:
    """Found when the trigger is made, not each night."""
    ended = lash("trigger", "create", "t", "--kind", "nobody.knows", "--every", "1h", "--json")

    assert (2, "unknown_kind") == (ended.code, ended.error["code"])


def test_params_of_a_schedule_are_checked_by_the_schema(lash: Lash, tmp_path: Path) -> None:
    """With the app at hand, as for enqueue."""
    file = tmp_path / "params.json"
    file.write_text(json.dumps({"month": 3}))

    ended = lash(
        "trigger", "create", "t", "--kind", "report.build", "--every", "1h", "--params-file", str(file), "--app",
        "examples.reports:app", "--json",
    )  # fmt: skip

    assert 2 == ended.code
    assert ended.error["field"].startswith("params")


def test_unknown_triggers(lash: Lash) -> None:
    """Exit code 3."""
    for line in (("get", "x"), ("pause", "x"), ("resume", "x"), ("delete", "x")):
        assert (3, "unknown_trigger") == ((ended := lash("trigger", *line, "--json")).code, ended.error["code"]), line
    assert 3 == lash("trigger", "update", "x", *K, "--every", "1h").code


def test_exit_codes_of_trigger_errors() -> None:
    """One table."""
    conflict = errors.TriggerConflictError("no", name="t", reason="revision")
    for error, code in (
        (errors.UnknownTriggerError("t"), 3),
        (conflict, 4),
        (errors.TriggerOperationConflictError("op"), 4),
        (errors.OccurrenceConflictError("a", "b", "c"), 4),
        (errors.TriggerPausedError("t"), 1),
        (errors.InvalidScheduleError("no"), 2),
    ):
        assert code == exit_code(error)


def test_help_names_every_verb(lash: Lash) -> None:
    """``lash trigger`` alone tells what there is."""
    text = lash("trigger", "--help").out

    for verb in ("create", "update", "ls", "get", "emit", "pause", "resume", "delete", "backfill", "prune", "failed"):
        assert verb in text
    assert "trigger" in lash("--help").out
