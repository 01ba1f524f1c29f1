"""``process retry``, ``process resolve`` and the dead letters: what they print and how they exit."""

from __future__ import annotations

import io

import pytest

from lash_core.client import LashClient
from lash_core.model.await_event import WaitIdentity
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from tests.cli.conftest import Lash
from tests.client.app_stub import finish

K = ("--disposition", "rerunnable")
FAILED = ProcessAwaitOutput.failure("external", "no_paper", "the printer is out of paper")


def fail(lash: Lash, process_id: str) -> None:
    lash.behind(lambda client: finish(client.stores, process_id, FAILED))


def test_a_failed_process_is_retried_as_a_new_one(lash: Lash) -> None:
    """Once at a time; ``get`` shows both ends of the link."""
    lash.ok("enqueue", "k", "--id", "p", "--payload", "[1]", *K)
    assert (4, "not_retryable") == _error(lash, "process", "retry", "p")
    fail(lash, "p")

    line = ("process", "retry", "p", "--json")
    assert {"id": "p.retry-1", "status": "created", "retry_of": "p"} == lash.ok(*line).json
    assert {"id": "p.retry-1", "status": "exists", "retry_of": "p"} == lash.ok(*line).json
    assert "exists p.retry-1 (retry of p)\n" == lash.ok(*line[:-1]).out
    old, new = (lash.ok("process", "get", name, "--json").json for name in ("p", "p.retry-1"))
    assert (None, ["p.retry-1"]) == (old["retry_of"], old["retried_as"])
    assert ("p", [], 0) == (new["retry_of"], new["retried_as"], new["retries"])
    assert old["input"] == new["input"]
    assert "retry of" in lash.ok("process", "get", "p.retry-1").out
    assert "retried as" in lash.ok("process", "get", "p").out
    assert "again" == lash.ok("process", "retry", "p", "--id", "again", "--json").json["id"]
    assert (3, "unknown_process") == _error(lash, "process", "retry", "nobody")


def test_a_completed_process_is_retried_by_force_only(lash: Lash) -> None:
    """Exit code 4, and the way out."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    lash.behind(lambda client: finish(client.stores, "p", ProcessAwaitOutput.success()))

    assert (4, "not_retryable") == _error(lash, "process", "retry", "p")
    assert "created" == lash.ok("process", "retry", "p", "--force", "--json").json["status"]


def test_dead_letters_show_their_failure(lash: Lash) -> None:
    """Class and code in a column of their own; lists of other rows keep theirs."""
    for name in ("p", "q"):
        lash.ok("enqueue", "k", "--id", name, *K)
    fail(lash, "p")

    dead = lash.ok("process", "ls", "--status", "failed").out
    assert "external / no_paper" in dead
    assert "external / no_paper" not in lash.ok("process", "ls").out
    assert "no_paper" == lash.ok("process", "ls", "--status", "failed", "--json").json["items"][0]["output"]["code"]


def test_start_times_are_moments_or_delays(lash: Lash) -> None:
    """``--at`` takes RFC 3339 and epoch ms; both together are bad usage."""
    lash.ok("enqueue", "k", "--id", "p", "--at", "2100-01-01T00:00:00Z", *K)
    lash.ok("enqueue", "k", "--id", "q", "--at", "4102444800000", *K)

    due = [lash.ok("process", "get", name, "--json").json["due_at_ms"] for name in ("p", "q")]
    assert [4_102_444_800_000] * 2 == due
    assert "due_later" in lash.ok("process", "get", "p").out
    assert "2100-01-01T00:00:00" in lash.ok("enqueue", "k", "--at", "4102444800000", *K, "--dry-run").out
    assert (2, "usage") == _error(lash, "enqueue", "k", "--at", "4102444800000", "--delay", "1s", *K)
    assert (2, "usage") == _error(lash, "enqueue", "k", "--at", "2100-01-01T00:00:00", *K)


def token_of(lash: Lash, process_id: str) -> str:
    async def mint(client: LashClient) -> str:
        events = StoredAwaitEvents(client.stores.promises)
        return events.mint(ExecutionScope.process(process_id), WaitIdentity.custom("approval")).to_token()

    return lash.behind(mint)


def test_a_token_is_resolved_once(lash: Lash, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer again is fine (exit 0), another one is a conflict (exit 4)."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    token = token_of(lash, "p")
    line = ("process", "resolve", token, "--value", '{"by": "ops"}', "--json")
    same = ("process", "resolve", token, "--payload", '{"by": "ops"}', "--json")

    stands = {"type": "ok", "value": {"by": "ops"}}
    assert {"status": "accepted", "resolution": stands} == lash.ok(*line).json
    assert {"status": "already_resolved", "resolution": stands} == lash.ok(*same).json
    other = lash("process", "resolve", token, "--error", "denied", "--message", "not you", "--json")
    assert (4, "already_resolved", stands) == (other.code, other.json["status"], other.json["resolution"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    assert 4 == lash("process", "resolve", "-").code
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 10_000))
    assert (2, "invalid_argument") == _error(lash, "process", "resolve", "-")


def test_a_token_may_be_answered_with_an_error(lash: Lash) -> None:
    """Or with nothing at all."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    lash.ok("enqueue", "k", "--id", "q", *K)

    refused = lash.ok("process", "resolve", token_of(lash, "p"), "--error", "denied", "--json").json
    assert {"type": "err", "code": "denied", "message": ""} == refused["resolution"]
    assert 'accepted: {"type": "ok", "value": null}\n' == lash.ok("process", "resolve", token_of(lash, "q")).out


def test_an_unknown_token_is_not_found(lash: Lash) -> None:
    """Exit code 3 whether it was forged or its process is gone; exit code 2 for what is no token."""
    lash.ok("enqueue", "k", "--id", "p", *K)
    ended = lash("process", "resolve", token_of(lash, "nobody"), "--json")

    assert (3, {"status": "unknown_or_revoked", "resolution": None}) == (ended.code, ended.json)
    assert 3 == lash("process", "resolve", token_of(lash, "nobody")).code
    assert (2, "invalid_argument") == _error(lash, "process", "resolve", "r-10")
    assert (2, "usage") == _error(lash, "process", "resolve", "x", "--message", "only")
    assert (2, "usage") == _error(lash, "process", "resolve", "x", "--error", "e", "--value", "1")


def _error(lash: Lash, *args: str) -> tuple[int, str]:
    ended = lash(*args, "--json")
    return ended.code, ended.error["code"]
