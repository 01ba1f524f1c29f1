"""Worker, kinds, doctor, top, config, acl, upgrade, completion."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from lash_core.model.manifest import WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from tests.cli.conftest import Lash
from tests.client.app_stub import REPORT

WORKER = WorkerEntry(
    worker_id="w-1",
    identity=LeaseOwnerIdentity.opaque("w-1", "i"),
    kinds=("report.build",),
    queues=("default", "slow"),
    concurrency=8,
    busy=3,
    host="host-a",
    pid=42,
    lash_version="999.0",
    metrics_url="http://host-a:9000/metrics",
)


def publish(lash: Lash, **changes: Any) -> None:
    entry = WORKER.model_copy(update=changes)
    lash.behind(lambda client: client.stores.directory.publish_worker(entry))


def test_workers_are_listed_and_drained(lash: Lash) -> None:
    """Who they are and how busy; a drain is asked for once."""
    assert {"items": []} == lash.ok("worker", "ls", "--json").json
    publish(lash)

    entry = lash.ok("worker", "ls", "--json").json["items"][0]
    out = lash.ok("worker", "ls").out

    assert ("w-1", 8, 3) == (entry["worker_id"], entry["concurrency"], entry["busy"])
    assert "host-a:42" in out
    assert "3/8" in out
    publish(lash, facts={"sessions": {"busy": 2, "concurrency": 5, "providers": ["local"]}})
    assert "2/5" in lash.ok("worker", "ls").out
    assert {"id": "w-1", "status": "requested"} == lash.ok("worker", "drain", "w-1", "--json").json
    assert "draining" in lash.ok("worker", "ls").out
    nobody = lash("worker", "drain", "nobody", "--json")
    assert (3, "not_found") == (nobody.code, nobody.error["code"])


def test_kinds_are_listed_and_removed(lash: Lash) -> None:
    """Manifests as they were published."""
    lash.behind(lambda client: client.stores.directory.publish_kinds([REPORT]))

    item = lash.ok("kinds", "ls", "--json").json["items"][0]

    assert ("report.build", "rerunnable", "slow") == (item["kind"], item["disposition"], item["queue"])
    assert "approve, stop" in lash.ok("kinds", "ls").out
    assert {"kind": "report.build", "status": "removed"} == lash.ok("kinds", "rm", "report.build", "--json").json
    assert 3 == lash("kinds", "rm", "report.build", "--json").code


def test_doctor_says_what_it_found(lash: Lash) -> None:
    """Warnings do not fail it."""
    publish(lash)
    lash.ok("process", "changes", "--name", "warehouse", "--json")

    report = lash.ok("doctor", "--json").json

    states = {check["name"]: check["state"] for check in report["checks"]}
    assert report["ok"]
    wanted = "server persistence layout latency clock grace workers outbox"
    assert {*wanted.split(), "projector warehouse"} <= states.keys()
    assert "Valkey" in lash.ok("doctor").out


def test_doctor_tells_of_sessions_that_nobody_runs(lash: Lash) -> None:
    """Nothing where there are none; who waits in vain is told apart from who is about to be answered."""
    publish(lash)
    assert [] == found_of_sessions(lash)
    lash.ok("session", "send", "chat", "hello")
    [alone] = found_of_sessions(lash)
    assert "warn" == alone["state"]
    assert alone["text"].startswith("0 workers run them, 0 are held, 1 wait, the first for")
    assert alone["text"].endswith("no worker's app declares app.sessions(...)")
    publish(lash, facts={"sessions": {"busy": 0, "concurrency": 5, "providers": ["local"]}})
    assert "ok" == found_of_sessions(lash)[0]["state"]
    assert "sessions: 1 wait (the first for " in lash.ok("top", "--once").out


def found_of_sessions(lash: Lash) -> list[dict[str, str]]:
    return [check for check in lash.ok("doctor", "--json").json["checks"] if check["name"] == "sessions"]


def test_top_takes_one_look(lash: Lash) -> None:
    """Queues and workers; one line of JSON for programs."""
    publish(lash)
    lash.ok("enqueue", "k", "--disposition", "rerunnable")

    look = lash.ok("top", "--once", "--json").json
    out = lash.ok("top", "--once").out

    assert {"default": 1} == look["ready"]
    assert "w-1" in out
    assert "running 1" in out


def test_config_masks_secrets(lash: Lash, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, where they come from, and no password."""
    monkeypatch.setenv("LASH_REDIS_URL", "redis://u:hunter2@h:1/0")

    ended = lash.ok("config", "show", "--json", "--namespace", "mine")

    assert "hunter2" not in ended.out + lash.ok("config", "show").out
    assert {"value": "mine", "source": "option"} == ended.json["LASH_NAMESPACE"]
    assert "environment" == ended.json["LASH_REDIS_URL"]["source"]
    monkeypatch.setenv("LASH_PARTITIONS", "many")
    wrong = lash("config", "show", "--json")
    assert (2, "LASH_PARTITIONS") == (wrong.code, wrong.error["field"])


def test_acl_rules_are_printed(lash: Lash) -> None:
    """For this namespace; an unknown role is bad input."""
    ended = lash.ok("acl", "print", "observer", "--namespace", "mine", "--json")

    assert ("observer", "mine") == (ended.json["role"], ended.json["namespace"])
    assert "mine" in ended.json["rules"]
    assert lash.ok("acl", "print", "worker", "--rules").out.startswith("user ")
    assert 2 == lash("acl", "print", "boss").code


def test_upgrade_waits_for_older_workers(lash: Lash) -> None:
    """Whoever could not read new records must be gone."""
    publish(lash, lash_version="0.0.1")
    refused = lash("upgrade", "--json")
    publish(lash, lash_version="999.0")
    done = lash.ok("upgrade", "--json").json

    assert (1, "older_workers") == (refused.code, refused.error["code"])
    assert "w-1" in refused.error["message"]
    assert {"status", "write_version"} == done.keys()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(lash: Lash, shell: str) -> None:
    """For the shells that click knows."""
    assert "_LASH_COMPLETE" in lash.ok("completion", shell).out


def test_help_answers_quickly_and_imports_no_store() -> None:
    """``lash --help`` is typed often; it must not load what it does not need."""
    program = (
        "import sys; from lash_worker.cli.main import run; run(['--help']); "
        "print([name for name in ('redis', 'pydantic', 'rich') if name in sys.modules], file=sys.stderr)"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == ended.stderr.strip()
    assert "process" in ended.stdout


def test_a_command_over_redis_loads_what_it_uses() -> None:
    """Neither the stores in memory nor what checks schemas: together a seventh of its start."""
    program = (
        "import sys, lash_worker.cli.process_ls, lash_core.redis_store.stores; "
        "print([name for name in ('jsonschema', 'referencing', 'lash_core.memory_store.stores', "
        "'lash_core.memory_store.registry') if name in sys.modules])"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == ended.stdout.strip()


@pytest.mark.parametrize("line", ["proces", "process lst", "process ls --limit 0", "top --every 0"])
def test_bad_usage_is_exit_code_2(lash: Lash, line: str) -> None:
    """In text with a hint, in JSON with the code ``usage``."""
    text, as_json = lash(*line.split()), lash(*line.split(), "--json")

    assert (2, 2) == (text.code, as_json.code)
    assert "usage" == as_json.error["code"]
    assert "" == as_json.out


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("worker run", None),
        ("dev", None),
        ("worker run --app nothere:app", None),
        ("worker run --app lash_core:nothere", None),
        ("worker run --app tests.cli.good_app:app --renew-interval-ms 29000", "renew_interval_ms"),
        ("dev --app tests.cli.good_app:app --renew-interval-ms 29000", "renew_interval_ms"),
        ("worker run --app tests.cli.good_app:app --concurrency 0", "concurrency"),
    ],
)
def test_a_worker_without_an_app_or_with_wrong_timings_is_bad_usage(lash: Lash, line: str, field: str | None) -> None:
    """Nothing is started."""
    ended = lash(*line.split())

    assert 2 == ended.code, ended
    if field is not None:
        assert field.replace("_", "-") in ended.err.replace("_", "-").lower()


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@h",
        "redis://:hunter2@h/0",
        "redis://u:hun/ter2@h",
        "redis+sentinel://h1,h2/master/0?sentinel_password=hunter2",
        "redis://h/0?password=hunter2",
    ],
)
def test_a_password_in_any_part_of_an_option_is_refused(lash: Lash, url: str) -> None:
    """Every user of the host could read it; nothing of it is repeated, nothing is connected to."""
    ended = lash("--redis-url", url, "process", "ls", "--json")

    assert (2, "redis_url") == (ended.code, ended.error["field"])
    assert "LASH_REDIS_URL" in ended.error["message"]
    assert "ter2" not in ended.err
