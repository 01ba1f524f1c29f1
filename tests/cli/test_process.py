"""The process commands: what they print and how they exit."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

from lash_core.client import LashClient
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.testing.waiting import eventually_sync
from tests.cli.conftest import Ended, Lash
from tests.client.app_stub import REPORT, claim, finish

K = ("--disposition", "rerunnable")


def end(lash: Lash, process_id: str, output: AnyAwaitOutput) -> None:
    lash.behind(lambda client: finish(client.stores, process_id, output))


def know_reports(lash: Lash) -> None:
    lash.behind(lambda client: client.stores.directory.publish_kinds([REPORT]))


def test_enqueue_prints_the_id_and_whether_it_is_new(lash: Lash) -> None:
    """The same command again is harmless."""
    line = ("enqueue", "k", "--id", "p", "--payload", '{"a": 1}', *K, "--json")

    assert {"id": "p", "status": "created"} == lash.ok(*line).json
    assert {"id": "p", "status": "exists"} == lash.ok(*line).json
    assert "exists p\n" == lash.ok("process", *line[:-1]).out


def test_enqueue_with_other_content_is_a_conflict(lash: Lash) -> None:
    """Exit code 4."""
    lash.ok("enqueue", "k", "--id", "p", "--payload", "1", *K)

    ended = lash("enqueue", "k", "--id", "p", "--payload", "2", *K, "--json")

    assert 4 == ended.code
    assert ("registration_conflict", "not_done") == (ended.error["code"], ended.error["outcome"])


def test_enqueue_of_an_unknown_kind_names_three_ways_out(lash: Lash) -> None:
    """Exit code 2, nothing written."""
    ended = lash("enqueue", "nobody.knows", "--json")

    assert (2, "unknown_kind", "kind") == (ended.code, ended.error["code"], ended.error["field"])
    assert "--disposition" in ended.error["message"]
    assert {"count": 0} == lash.ok("process", "ls", "--count", "--json").json


def test_enqueue_with_a_contradicting_disposition(lash: Lash) -> None:
    """Exit code 2 naming both."""
    know_reports(lash)

    ended = lash("enqueue", "report.build", "--payload", '{"month": "x"}', "--disposition", "owner_bound", "--json")

    assert 2 == ended.code
    assert "owner_bound" in ended.error["message"]
    assert "rerunnable" in ended.error["message"]


@pytest.mark.parametrize(
    ("args", "code", "field"),
    [
        (("--id", " "), "invalid_registration", "id"),
        (("--id", "x" * 201), "invalid_registration", "id"),
        (("--id", "a#b"), "invalid_registration", "id"),
        (("--payload", "{not json"), "usage", "payload"),
        (("--payload", "[NaN]"), "usage", "payload"),
        (("--payload", '{"a": 1, "a": 2}'), "usage", "payload"),
        (("--queue", ""), "invalid_argument", "queue"),
        (("--queue", "no spaces"), "invalid_argument", "queue"),
        (("--delay", "soon"), "usage", "delay_ms"),
        (("--disposition", "maybe"), "invalid_argument", "disposition"),
        (("--payload-file", "/does/not/exist"), "usage", "payload_file"),
        (("--payload", "1", "--jsonl", "-"), "usage", None),
        (("--no-such-option",), "usage", "--no-such-option"),
    ],
)
def test_bad_input_is_exit_code_2_with_its_field(
    lash: Lash, args: tuple[str, ...], code: str, field: str | None
) -> None:
    """And nothing is written."""
    ended = lash("enqueue", "k", *K, "--json", *args)

    assert (2, code, field) == (ended.code, ended.error["code"], ended.error["field"])
    assert {"count": 0} == lash.ok("process", "ls", "--count", "--json").json


def test_a_payload_over_the_limit_names_the_limit(lash: Lash, tmp_path: Path) -> None:
    """From a file; the limit and the size are told."""
    file = tmp_path / "big.json"
    file.write_text(json.dumps("x" * 300_000))

    ended = lash("enqueue", "k", *K, "--payload-file", str(file), "--json")

    assert (2, "limit_exceeded", 262_144) == (ended.code, ended.error["code"], ended.error["limit"])


def test_a_payload_that_does_not_match_names_the_path(lash: Lash) -> None:
    """The manifest of the directory is enough; what stands there is told."""
    know_reports(lash)

    ended = lash("enqueue", "report.build", "--payload", '{"month": 10}', "--json")

    assert (2, "params.month", 10) == (ended.code, ended.error["field"], ended.error["value"])


def test_dry_run_prints_the_plan_and_writes_nothing(lash: Lash) -> None:
    """Everything is checked."""
    know_reports(lash)

    ended = lash.ok("enqueue", "report.build", "--payload", '{"month": "x"}', "--dry-run", "--json", "--id", "p")

    assert ("dry_run", "slow") == (ended.json["status"], ended.json["registration"]["queue"])
    assert 3 == lash("process", "get", "p").code
    assert "nothing was written" in lash.ok("enqueue", "report.build", "--payload", '{"month": "x"}', "--dry-run").out


def test_many_from_a_file(lash: Lash, tmp_path: Path) -> None:
    """A line each; the exit code of the first error."""
    file = tmp_path / "many.jsonl"
    file.write_text('{"id": "a", "payload": 1}\n\n{"payload": 2}\n{"id": "b#", "payload": 3}\n')

    ended = lash("enqueue", "k", *K, "--jsonl", str(file), "--json")

    assert 2 == ended.code
    assert ["created", "created", "error"] == [line["status"] for line in ended.lines]
    assert "2 created, 0 exists, 1 error" not in lash("enqueue", "k", *K, "--jsonl", str(file)).out
    file.write_text('{"id": "c"}\n[1]\n')
    assert "line 2" in lash("enqueue", "k", *K, "--jsonl", str(file), "--json").error["message"]


def test_cancel_has_four_outcomes_and_exit_code_0(lash: Lash) -> None:
    """Requested, already requested, cancelled, already terminal."""
    for name in ("never", "runs", "done"):
        lash.ok("enqueue", "k", "--id", name, *K)
    lash.behind(lambda client: claim(client.stores, "runs"))
    end(lash, "done", ProcessAwaitOutput.success())

    runs = [lash.ok("cancel", "runs", "--reason", "r", "--json").json for _ in range(2)]
    never = lash.ok("process", "cancel", "never", "--json").json
    done = lash.ok("cancel", "done", "--json").json

    assert ["requested", "already_requested"] == [receipt["outcome"] for receipt in runs]
    assert {"id": "never", "outcome": "cancelled", "status": "cancelled", "seen_at_ms": None} == never
    assert ("already_terminal", "completed") == (done["outcome"], done["status"])
    assert 3 == lash("cancel", "nobody").code


def test_cancel_by_filter_asks_first(lash: Lash, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens without an answer."""
    for n in range(3):
        lash.ok("enqueue", "k", "--id", f"p{n}", *K)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    unanswered = lash("cancel", "--kind", "k", "--json")
    assert (2, "usage") == (unanswered.code, unanswered.error["code"])
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert 1 == lash("cancel", "--kind", "k").code
    assert {"count": 3} == lash.ok("process", "ls", "--status", "running", "--count", "--json").json
    assert 3 == len(lash.ok("cancel", "--kind", "k", "--yes", "--json").lines)
    assert {"count": 3} == lash.ok("process", "ls", "--status", "cancelled", "--count", "--json").json
    assert 2 == lash("cancel").code
    assert 2 == lash("cancel", "p1", "--kind", "k").code


def test_waiting_for_a_cancel_that_nobody_sees_times_out(lash: Lash) -> None:
    """Exit code 7; the request stands."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    lash.behind(lambda client: claim(client.stores, "p"))

    ended = lash("cancel", "p", "--wait", "--timeout", "0.1", "--json")

    assert (7, "timeout") == (ended.code, ended.error["code"])
    assert lash.ok("process", "get", "p", "--json").json["cancel_request"] is not None


def test_ls_has_items_and_a_cursor(lash: Lash) -> None:
    """Pages of a bounded size."""
    for n in range(5):
        lash.ok("enqueue", "k", "--id", f"p{n}", "--label", "L", *K)

    first = lash.ok("process", "ls", "--limit", "3", "--json").json
    rest = lash.ok("process", "ls", "--limit", "3", "--cursor", first["next_cursor"], "--json").json

    assert (3, 2, None) == (len(first["items"]), len(rest["items"]), rest["next_cursor"])
    item = first["items"][0]
    assert ("k", "L", "default", "running", False) == tuple(
        item[name] for name in ("kind", "label", "queue", "status", "waiting")
    )
    assert {"count": 5} == lash.ok("process", "ls", "--count", "--label", "L", "--json").json
    assert {"count": 0} == lash.ok("process", "ls", "--count", "--since", "2100-01-01T00:00:00Z", "--json").json
    table = lash.ok("process", "ls").out
    assert all(f"p{n}" in table for n in range(5))
    assert 2 == lash("process", "ls", "--since", "yesterday", "--json").code
    assert 2 == lash("process", "ls", "--cursor", "made up", "--json").code


def test_get_has_the_documented_fields(lash: Lash) -> None:
    """And a lease while somebody runs it."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    lash.behind(lambda client: claim(client.stores, "p"))

    row = lash.ok("process", "get", "p", "--json").json

    names = "id kind label queue status waiting disposition attempt lease created_at_ms updated_at_ms output handovers"
    assert not set(names.split()) - row.keys()
    assert {"owner_id", "incarnation_id", "fencing_token", "expires_at_ms"} == row["lease"].keys()
    page = lash.ok("process", "get", "p").out
    assert "worker-1" in page
    assert "1 (running)" in page
    assert 3 == lash("process", "get", "nobody", "--json").code


def test_result_has_an_exit_code_for_each_end(lash: Lash) -> None:
    """0 success, 1 any other end, 7 not there yet."""
    for name in ("good", "bad", "late"):
        lash.ok("enqueue", "k", "--id", name, *K)
    end(lash, "good", ProcessAwaitOutput.success({"n": 1}))
    end(lash, "bad", ProcessAwaitOutput.failure("execution", "process_failed", "ValueError: no"))

    good, bad = lash("process", "result", "good", "--json"), lash("process", "result", "bad", "--json")
    late = lash("process", "result", "late", "--json")

    assert (0, {"type": "success", "value": {"n": 1}}) == (good.code, good.json)
    assert (1, "failure", "execution") == (bad.code, bad.json["type"], bad.json["class"])
    assert (7, "timeout") == (late.code, late.error["code"])
    assert late.error["message"].endswith("is still running")
    assert 7 == lash("process", "result", "late", "--wait", "--timeout", "0.1").code
    assert "ValueError: no" in lash("process", "result", "bad").err
    assert {"n": 1} == lash("process", "result", "good").json
    assert 3 == lash("process", "result", "nobody").code


def test_events_are_one_a_line(lash: Lash) -> None:
    """With the documented fields."""
    know_reports(lash)
    lash.ok("enqueue", "report.build", "--payload", '{"month": "x"}', "--id", "p")
    lash.ok("process", "signal", "p", "stop")
    end(lash, "p", ProcessAwaitOutput.success())

    lines = lash.ok("process", "events", "p", "--follow", "--json").lines

    assert [1, 2] == [line["sequence"] for line in lines]
    assert {"sequence", "event_type", "payload", "occurred_at_ms"} == lines[0].keys()
    assert [2] == [line["sequence"] for line in lash.ok("process", "events", "p", "--after", "1", "--json").lines]
    assert "signal.stop" in lash.ok("process", "events", "p").out
    assert 3 == lash("process", "events", "nobody", "--json").code


def test_signal_wants_a_declared_name(lash: Lash) -> None:
    """Once per signal id."""
    know_reports(lash)
    lash.ok("enqueue", "report.build", "--payload", '{"month": "x"}', "--id", "p")
    line = ("process", "signal", "p", "approve", "--payload", '{"by": "ops"}', "--signal-id", "s", "--json")

    assert ["recorded", "exists"] == [lash.ok(*line).json["status"] for _ in range(2)]
    unknown = lash("process", "signal", "p", "aprove", "--json")
    assert (2, "unknown_signal") == (unknown.code, unknown.error["code"])
    assert "`approve`" in unknown.error["message"]
    assert 2 == lash("process", "signal", "p", "approve", "--payload", "{}", "--json").code


def test_why_has_the_documented_fields(lash: Lash) -> None:
    """And a sentence for people."""
    lash.ok("enqueue", "k", "--id", "p", *K)

    answer = lash.ok("process", "why", "p", "--json").json

    assert {"id", "status", "reason", "text", "since_ms", "until_ms"} == answer.keys()
    assert "no_worker" == answer["reason"]
    assert "no live worker" in lash.ok("process", "why", "p").out


def test_abandon_is_recorded(lash: Lash) -> None:
    """The first request stays; a reason is required."""
    lash.ok("enqueue", "k", "--id", "p", "--disposition", "externally_owned")

    first = lash.ok("process", "abandon", "p", "--reason", "gone", "--json").json
    second = lash.ok("process", "abandon", "p", "--reason", "other", "--json").json

    assert "gone" == first["abandon_request"]["reason"] == second["abandon_request"]["reason"]
    assert 2 == lash("process", "abandon", "p").code
    lash.ok("enqueue", "k", "--id", "done", *K)
    end(lash, "done", ProcessAwaitOutput.success())
    assert 1 == lash("process", "abandon", "done", "--reason", "r", "--json").code


def test_prune_deletes_what_ended_and_stops_at_projectors(lash: Lash, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running ones stay; a projector that has not read a row keeps it."""
    lash.ok("process", "changes", "--name", "slow", "--json")
    for n in range(3):
        lash.ok("enqueue", "k", "--id", f"p{n}", *K)
        end(lash, f"p{n}", ProcessAwaitOutput.success())
    lash.ok("enqueue", "k", "--id", "runs", *K)
    prune = ("process", "prune", "--older-than", "0s", "--yes", "--json")

    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "--yes" in lash("process", "prune", "--older-than", "0s").err

    assert 0 == lash.ok(*prune).json["pruned_processes"]
    lash.ok("process", "changes", "--name", "slow", "--json")
    assert 3 == lash.ok(*prune).json["pruned_processes"]
    assert {"count": 1} == lash.ok("process", "ls", "--count", "--json").json


def test_changes_go_on_where_a_name_stopped(lash: Lash) -> None:
    """The last line is the cursor."""
    lash.ok("enqueue", "k", "--id", "a", *K)
    first = lash.ok("process", "changes", "--name", "n", "--json").lines
    lash.ok("enqueue", "k", "--id", "b", *K)
    second = lash.ok("process", "changes", "--name", "n", "--json").lines

    assert ["a"] == [line["id"] for line in first[:-1]]
    assert ["b"] == [line["id"] for line in second[:-1]]
    again = lash.ok("process", "changes", "--cursor", first[-1]["cursor"], "--json").lines
    assert ["b"] == [line["id"] for line in again[:-1]]
    assert 0 == lash("process", "changes", "--forget", "n").code
    assert 3 == lash("process", "changes", "--forget", "n", "--json").code


def test_a_follower_waits_for_what_comes(lash: Lash) -> None:
    """Until its limit; the next one of that name goes on behind it, whatever is pruned meanwhile."""
    lash.ok("enqueue", "k", "--id", "a", *K)
    ended: list[Ended] = []
    follow = ("process", "changes", "--follow", "--name", "n", "--limit", "2", "--json")
    following = threading.Thread(target=lambda: ended.append(lash(*follow)))
    following.start()
    eventually_sync(lambda: "n" in lash.behind(lambda client: client.stores.directory.projectors()), within_ms=20_000)
    lash.behind(lambda client: client.enqueue("k", process_id="b", disposition="rerunnable"))
    following.join(timeout=30)
    lash.ok("enqueue", "k", "--id", "c", *K)
    end(lash, "c", ProcessAwaitOutput.success())

    assert [["a", "b"]] == [[line["id"] for line in one.lines[:-1]] for one in ended]
    assert 0 == lash.ok("process", "prune", "--older-than", "0s", "--yes", "--json").json["pruned_processes"]
    assert ["c"] == [line["id"] for line in lash.ok("process", "changes", "--name", "n", "--json").lines[:-1]]
    assert 1 == lash.ok("process", "prune", "--older-than", "0s", "--yes", "--json").json["pruned_processes"]


def test_text_from_a_store_cannot_move_the_cursor(lash: Lash) -> None:
    """Control characters of a label are shown, not obeyed."""

    async def start(client: LashClient) -> None:
        await client.enqueue("k", process_id="p", label="\x1b[2J[red]boo", disposition="rerunnable")

    lash.behind(start)

    out = lash.ok("process", "ls").out + lash.ok("process", "get", "p").out
    assert "\x1b" not in out
    assert "[red]boo" in out
