"""``lash session``: what the commands print and how they exit."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lash_core.client import LashClient
from lash_core.errors import UnknownSessionError
from lash_core.errors.session import HeadRevisionConflictError, InputNotFoundError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import WorkerEntry
from lash_core.model.message import Message, ToolResultPart
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_handle import ProcessHandleDescriptor
from lash_core.model.process_input import ProcessInput
from lash_core.model.queued_work import TurnInputPayload
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionScope
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.model.turn_outcome import StoppedOutcome, TurnOutcome
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.waiting import eventually
from lash_worker.cli.exit_codes import exit_code
from lash_worker.cli.session_history import speaker_of
from tests.cli.conftest import Ended, Lash
from tests.client.session_turns import OWNER, answer_queue


async def answered(client: LashClient, text: str = "hello back", outcome: TurnOutcome | None = None) -> None:
    """A worker's turn, as soon as something waits."""

    async def waits() -> bool:
        return bool(await client.session("chat").queue()) if await client.session("chat").exists() else False

    await eventually(waits, within_ms=10_000)
    store = await client.stores.session_store_factory.open_existing_store("chat")
    assert store is not None
    await answer_queue(store, text, outcome=outcome)


def answer_meanwhile(lash: Lash, text: str = "hello back", outcome: TurnOutcome | None = None) -> threading.Thread:
    """Answer the next input from another thread, while a command waits."""
    thread = threading.Thread(target=lambda: lash.behind(lambda client: answered(client, text, outcome)))
    thread.start()
    return thread


def test_send_queues_an_input(lash: Lash) -> None:
    """The session is made by it; the same source key sends once."""
    first = lash.ok("session", "send", "chat", "hello", "--source-key", "k", "--json").json
    again = lash.ok("session", "send", "chat", "hello", "--source-key", "k", "--json").json

    assert first == again
    assert {"session_id", "batch_id", "enqueue_seq"} == set(first)
    assert f"queued {first['batch_id']}\n" == lash.ok("session", "send", "chat", "hello", "--source-key", "k").out
    assert 1 == len(lash.ok("session", "get", "chat", "--json").json["queue"])


def test_send_waits_for_the_answer(lash: Lash) -> None:
    """On standard output, for people and for programs."""
    thread = answer_meanwhile(lash)
    assert "hello back\n" == lash.ok("session", "send", "chat", "hello", "--wait").out
    thread.join()
    thread = answer_meanwhile(lash, "again")
    turn = lash.ok("session", "send", "chat", "more", "--timeout", "20", "--json").json["turn"]
    thread.join()

    assert ("again", "finished") == (turn["text"], turn["outcome"]["type"])
    assert turn["turn_id"].startswith("t_qwb:")
    assert 2 == turn["session_revision"]


def test_a_stopped_turn_is_exit_code_1(lash: Lash) -> None:
    """Why stands on standard error."""
    sessions_worker(lash, "local")
    thread = answer_meanwhile(lash, "", StoppedOutcome("max_turns"))
    ended = lash("session", "send", "chat", "hello", "--wait")
    thread.join()

    assert (1, "") == (ended.code, ended.out)
    assert "lash: the turn was stopped: max_turns\n" == ended.err


def test_no_answer_is_exit_code_7_and_says_why(lash: Lash) -> None:
    """Nobody runs sessions here; the input stays queued."""
    ended = lash("session", "send", "chat", "hello", "--timeout", "0.1", "--json")

    assert (7, "timeout") == (ended.code, ended.error["code"])
    assert "stays queued: no worker that is up runs sessions" in ended.error["message"]
    assert 1 == len(lash.ok("session", "get", "chat", "--json").json["queue"])


def sessions_worker(lash: Lash, *providers: str) -> None:
    """A worker as the directory knows it."""
    facts = {"sessions": {"busy": 1, "concurrency": 4, "providers": list(providers)}}
    entry = WorkerEntry(worker_id="w", identity=LeaseOwnerIdentity.opaque("w", "i"), facts=facts)
    lash.behind(lambda client: client.stores.directory.publish_worker(entry))


def test_who_sends_hears_of_a_missing_worker(lash: Lash) -> None:
    """On standard error, for people only: the input is queued all the same."""
    alone = lash.ok("session", "send", "chat", "hello")
    assert alone.err.startswith("lash: it waits: no worker that is up runs sessions")
    assert "" == lash.ok("session", "send", "chat", "hello", "--json").err
    first, _ = lash("session", "send", "chat", "hello", "--timeout", "0.1").err.splitlines()
    assert first == alone.err.strip()
    sessions_worker(lash, "other")
    assert "" == lash.ok("session", "send", "chat", "hello").err


def test_who_waits_hears_of_a_missing_provider(lash: Lash) -> None:
    """The session's own one, once its first turn was committed with it."""
    lash.ok("session", "send", "chat", "hello")
    lash.behind(answered)
    sessions_worker(lash, "other")
    ended = lash("session", "send", "chat", "more", "--timeout", "0.1")
    assert 7 == ended.code
    assert "no worker that is up has its model provider `local` (there: other)" in ended.err
    sessions_worker(lash, "local")
    late = lash("session", "send", "chat", "more", "--timeout", "0.1")
    assert "stays queued: its answer will be in `lash session history chat`" in late.err


def test_a_text_over_the_limit_names_the_way_out(lash: Lash, tmp_path: Path) -> None:
    """Nothing is sent, and no session made for a file that is too large."""
    ended = lash("session", "send", "chat", "x" * 300_000, "--json")
    assert (2, "text", 262_144) == (ended.code, ended.error["field"], ended.error["limit"])
    assert "--attach FILE" in ended.error["message"]
    (tmp_path / "big.bin").write_bytes(b"x" * 5_000_000)
    assert 2 == lash("session", "send", "other", "look", "--attach", str(tmp_path / "big.bin")).code
    assert 3 == lash("session", "get", "other").code


def test_text_comes_from_standard_input(lash: Lash, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``-`` reads it; files go with it."""
    (tmp_path / "in.txt").write_text("a long\ntext\n")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    with (tmp_path / "in.txt").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        lash.ok("session", "send", "chat", "-", "--attach", str(picture))

    [batch] = lash.ok("session", "get", "chat", "--json").json["queue"]
    assert "a long\ntext\n" == batch["text"]

    async def items(client: LashClient) -> list[str]:
        [queued] = await client.session("chat").queue()
        payload = queued.payloads[0]
        assert isinstance(payload, TurnInputPayload)
        return [json.dumps(item.to_json_value()) for item in payload.input.items]

    text, attachment = lash.behind(items)
    assert "a long" in text
    assert "image/png" in attachment
    assert "a.png" in attachment


@pytest.mark.parametrize(
    "args",
    [
        ("send", "chat"),
        ("send", "chat", "  "),
        ("send", " chat", "hello"),
        ("send", "chat", "\udcff"),
        ("send", "chat", "hello", "--attach", "not-there.png"),
        ("send", "chat", "hello", "--timeout", "-1"),
        ("history", "chat", "--limit", "0"),
    ],
)
def test_bad_input_is_exit_code_2(lash: Lash, args: tuple[str, ...]) -> None:
    """Nothing is made for it."""
    assert 2 == lash("session", *args).code
    assert [] == lash.ok("session", "ls", "--json").json["items"]


@pytest.mark.parametrize(
    "args",
    [("get",), ("history",), ("park",), ("cancel-input", "qwb:1"), ("cancel-turn",), ("delete", "--yes")],
    ids=lambda args: args[0],
)
def test_an_unknown_session_is_exit_code_3(lash: Lash, args: tuple[str, ...]) -> None:
    """Every verb names it."""
    verb, *rest = args
    ended = lash("session", verb, "nobody", *rest, "--json")

    assert (3, "unknown_session") == (ended.code, ended.error["code"])


def test_history_prints_messages(lash: Lash) -> None:
    """Oldest first; one a line for programs."""
    lash.ok("session", "send", "chat", "hello")
    lash.behind(answered)

    lines = lash.ok("session", "history", "chat", "--json").lines
    assert [("user", "hello"), ("assistant", "hello back")] == [
        (line["role"], line["parts"][0]["text"]) for line in lines
    ]
    assert "user\nhello\nassistant\nhello back\n" == lash.ok("session", "history", "chat").out
    assert "assistant\nhello back\n" == lash.ok("session", "history", "chat", "--limit", "1").out


def test_what_tools_answered_is_not_shown_as_the_users() -> None:
    """Though it goes to the model in the user's role."""
    result = ToolResultPart(call_id="c", tool_name="price", output=900)
    assert "tools" == speaker_of(Message(id="m", role="user", parts=(result,)))
    assert "user" == speaker_of(Message.user("hello"))


def test_get_and_ls_show_a_session(lash: Lash) -> None:
    """Head, queue, lease, usage."""
    lash.ok("session", "send", "chat", "hello")
    before = lash.ok("session", "get", "chat", "--json").json
    assert (0, None, None) == (before["head_revision"], before["policy"], before["lease"])
    assert "nothing was committed yet" in lash.ok("session", "get", "chat").out
    lash.behind(answered)
    lash.ok("session", "send", "chat", "and then?")

    shown = lash.ok("session", "get", "chat", "--json").json
    assert (1, "tiny", 2) == (shown["head_revision"], shown["model"], shown["messages"])
    assert ["and then?"] == [batch["text"] for batch in shown["queue"]]
    assert "and then?" in lash.ok("session", "get", "chat").out
    assert "nobody, and its queue waits" in lash.ok("session", "get", "chat").out
    [item] = lash.ok("session", "ls", "--json").json["items"]
    assert ("chat", 1, 1, None) == (item["id"], item["head_revision"], item["queued"], item["held_by"])
    assert "chat" in lash.ok("session", "ls").out


def test_pages(lash: Lash) -> None:
    """The cursor goes on where a page ended."""
    for name in ("a", "b", "c"):
        lash.ok("session", "send", name, "hello")
    found: list[str] = []
    page = lash.ok("session", "ls", "--limit", "2", "--json").json
    found += [item["id"] for item in page["items"]]
    while page["next_cursor"] is not None:
        page = lash.ok("session", "ls", "--limit", "2", "--cursor", page["next_cursor"], "--json").json
        found += [item["id"] for item in page["items"]]

    assert ["a", "b", "c"] == sorted(found)


def test_cancel_input(lash: Lash) -> None:
    """0 taken back, 3 not there, 4 too late."""
    batch_id = lash.ok("session", "send", "chat", "hello", "--json").json["batch_id"]
    assert "cancelled" == lash.ok("session", "cancel-input", "chat", batch_id, "--json").json["outcome"]

    gone = lash("session", "cancel-input", "chat", batch_id, "--json")
    assert (3, "not_found") == (gone.code, gone.json["outcome"])
    late = lash.ok("session", "send", "chat", "hello", "--json").json["batch_id"]
    lash.behind(answered)
    ended = lash("session", "cancel-input", "chat", late)
    assert 4 == ended.code
    assert "it has been answered" in ended.out


def test_cancel_turn(lash: Lash) -> None:
    """0 asked, also again; 3 where none is open, or none of that name."""

    async def begin(client: LashClient) -> None:
        store = await client.stores.session_store_factory.open_existing_store("chat")
        assert store is not None
        taken = await store.try_claim_session_execution_lease("chat", OWNER, 30_000)
        assert isinstance(taken, SessionLeaseAcquired)
        await store.open_turn(taken.lease.fence, OpenTurn("t_1"))

    lash.ok("session", "send", "chat", "hello")
    none = lash("session", "cancel-turn", "chat", "--json")
    assert (3, {"id": "chat", "turn_id": None, "outcome": "no_turn"}) == (none.code, none.json)
    lash.behind(begin)
    asked = lash.ok("session", "cancel-turn", "chat", "--reason", "enough", "--json").json
    assert {"id": "chat", "turn_id": "t_1", "outcome": "requested"} == asked
    again = lash.ok("session", "cancel-turn", "chat", "--turn", "t_1")
    assert "t_1: it was asked to stop before\n" == again.out


def test_park_waits_for_the_queue(lash: Lash) -> None:
    """Exit code 7 while something waits."""
    lash.ok("session", "send", "chat", "hello")
    assert 7 == lash("session", "park", "chat", "--timeout", "0").code
    lash.behind(answered)

    assert {"id": "chat", "status": "parked", "head_revision": 1} == lash.ok("session", "park", "chat", "--json").json
    assert "chat is parked at revision 1\n" == lash.ok("session", "park", "chat").out


def test_delete_names_what_goes_on(lash: Lash) -> None:
    """Processes outlive the session that started them."""
    lash.ok("session", "send", "chat", "hello")

    async def grant(client: LashClient) -> None:
        registry = client.stores.process_registry
        await registry.register_process(
            ProcessRegistration(
                id="export", input=ProcessInput.external(), disposition=RecoveryDisposition.EXTERNALLY_OWNED
            )
        )
        await registry.grant_handle(SessionScope(session_id="chat"), "export", ProcessHandleDescriptor())

    lash.behind(grant)
    ended: Ended = lash.ok("session", "delete", "chat", "--yes", "--json")
    assert ("deleted", ["export"], []) == (
        ended.json["status"],
        ended.json["orphaned_process_ids"],
        ended.json["preserved_process_ids"],
    )
    assert [] == lash.ok("session", "ls", "--json").json["items"]
    assert "running" == lash.ok("process", "get", "export", "--json").json["status"]


def test_a_process_names_the_sessions_it_belongs_to(lash: Lash) -> None:
    """Who started it, and whom it wakes."""
    scope = SessionScope(session_id="chat")
    registration = ProcessRegistration(
        id="export",
        input=ProcessInput.external(),
        disposition=RecoveryDisposition.EXTERNALLY_OWNED,
        provenance=ProcessProvenance.for_session(scope),
        wake_target=SessionScope(session_id="other"),
    )
    lash.behind(lambda client: client.stores.process_registry.register_process(registration))

    page = lash.ok("process", "get", "export").out
    assert "started by   session chat" in page
    assert "wakes        session other" in page
    shown = lash.ok("process", "get", "export", "--json").json
    assert ("chat", "other") == (shown["originator"]["scope"]["session_id"], shown["wake_target"]["session_id"])


def test_every_error_of_sessions_has_its_exit_code() -> None:
    """Not found and conflict are told apart."""
    assert 3 == exit_code(UnknownSessionError("s"))
    assert 3 == exit_code(InputNotFoundError("s", "b"))
    assert 4 == exit_code(HeadRevisionConflictError("s", 1, 2))
