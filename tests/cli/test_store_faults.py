"""No server, a wrong password, a full or read-only server: exit code 5, in time, with nothing secret said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lash_core.testing.servers import ValkeyServer

ENQUEUE = ("enqueue", "k", "--disposition", "rerunnable", "--id", "p", "--json")


def lash(*args: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """``lash`` as a process of its own; a value of "" takes a variable away."""
    env = {name: value for name, value in {**os.environ, "LASH_APP": "", **environment}.items() if value}
    command = [sys.executable, "-m", "lash_worker.cli.main", *args]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, timeout=30, check=False)


def error_of(ended: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return json.loads(ended.stderr.splitlines()[-1])["error"]


@pytest.fixture
def locked() -> Iterator[ValkeyServer]:
    with ValkeyServer(arguments=("--requirepass", "hunter2")) as server:
        yield server


def with_password(server: ValkeyServer, password: str) -> str:
    return server.url.replace("unix://", f"unix://:{password}@")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///does/not/exist", "redis://192.0.2.1:6379/0"])
def test_a_server_that_is_not_there_is_exit_code_5_within_6_seconds(url: str) -> None:
    """A refused port, a missing socket, a host that does not answer."""
    begun = time.monotonic()
    ended = lash(*ENQUEUE, LASH_REDIS_URL=url)
    seconds = time.monotonic() - begun

    assert 5 == ended.returncode, ended
    assert ("store_unreachable", "not_done") == (error_of(ended)["code"], error_of(ended)["outcome"])
    assert seconds < 8, "4.5 s to give up, the rest is the start of the interpreter on a busy machine"


def test_a_wrong_password_is_refused_and_not_repeated(locked: ValkeyServer) -> None:
    """Neither the wrong nor the right one appears."""
    for url in (with_password(locked, "wrongpass"), locked.url):
        ended = lash(*ENQUEUE, LASH_REDIS_URL=url)

        assert (5, "store_auth") == (ended.returncode, error_of(ended)["code"])
        assert "wrongpass" not in ended.stdout + ended.stderr
    assert 0 == lash(*ENQUEUE, LASH_REDIS_URL=with_password(locked, "hunter2")).returncode


def test_a_password_on_the_command_line_is_refused(locked: ValkeyServer) -> None:
    """Every user of the host could read it."""
    ended = lash("--redis-url", with_password(locked, "hunter2"), *ENQUEUE)

    assert (2, "redis_url") == (ended.returncode, error_of(ended)["field"])
    assert "LASH_REDIS_URL" in str(error_of(ended)["message"])
    assert "hunter2" not in ended.stdout + ended.stderr


def test_a_full_server_refuses_a_start() -> None:
    """Exit code 5; nothing was written. The doctor still reports, and says what is wrong."""
    with ValkeyServer() as server:
        assert 0 == lash(*ENQUEUE, LASH_REDIS_URL=server.url).returncode
        with server.client() as client:
            before = client.dbsize()
            client.config_set("maxmemory", 1)
            ended = lash(*ENQUEUE[:-2], "q", "--json", LASH_REDIS_URL=server.url)

            assert (5, "store_full") == (ended.returncode, error_of(ended)["code"])
            assert before == client.dbsize()
        examined = lash("doctor", "--json", LASH_REDIS_URL=server.url)

        assert 1 == examined.returncode, examined
        checks = {check["name"]: check for check in json.loads(examined.stdout)["checks"]}
        assert "fail" == checks["writes"]["state"]
        assert "out of memory" in checks["writes"]["text"]


def test_a_server_without_persistence_is_warned_of() -> None:
    """On stderr, by every command; the level `fsync` refuses it."""
    with ValkeyServer(arguments=("--appendonly", "no")) as server:
        ended = lash(*ENQUEUE, LASH_REDIS_URL=server.url)
        refused = lash(*ENQUEUE, LASH_REDIS_URL=server.url, LASH_DURABILITY="fsync")

        assert (0, "created") == (ended.returncode, json.loads(ended.stdout)["status"])
        assert "no persistence at all" in ended.stderr
        assert (5, "appendonly", "yes") == (
            refused.returncode,
            error_of(refused)["field"],
            error_of(refused)["limit"],
        )


def test_a_worker_with_json_logs_ends_with_a_json_error(locked: ValkeyServer) -> None:
    """Who reads its log lines reads why it did not start."""
    line = ("worker", "run", "--app", "tests.cli.good_app:app", "--log-format", "json")
    ended = lash(*line, LASH_REDIS_URL=with_password(locked, "wrongpass"))

    assert (5, "store_auth") == (ended.returncode, error_of(ended)["code"])
    assert all(json.loads(text) for text in ended.stderr.splitlines())


def test_an_evicting_server_is_refused() -> None:
    """It would lose processes."""
    with ValkeyServer(arguments=("--maxmemory-policy", "allkeys-lru")) as server:
        ended = lash("doctor", "--json", LASH_REDIS_URL=server.url)

        assert (5, "store_refused") == (ended.returncode, error_of(ended)["code"])
        assert "noeviction" in str(error_of(ended)["message"])


def test_another_layout_is_refused() -> None:
    """The setting contradicts what the namespace was made with."""
    with ValkeyServer() as server:
        assert 0 == lash(*ENQUEUE, LASH_REDIS_URL=server.url, LASH_PARTITIONS="4").returncode
        ended = lash("process", "ls", "--json", LASH_REDIS_URL=server.url, LASH_PARTITIONS="16")

        assert (5, "store_layout") == (ended.returncode, error_of(ended)["code"])


def test_without_a_url_the_embedded_server_of_the_folder_is_used(tmp_path: Path) -> None:
    """One line on stderr says so; the data is there the next time."""
    first = lash(*ENQUEUE, cwd=tmp_path, LASH_REDIS_URL="", LASH_EMBEDDED="1")
    second = lash(*ENQUEUE, cwd=tmp_path, LASH_REDIS_URL="", LASH_EMBEDDED="1")

    assert ("created", "exists") == (json.loads(first.stdout)["status"], json.loads(second.stdout)["status"])
    assert 1 == len(first.stderr.splitlines())
    assert str(tmp_path / ".lash") in first.stderr


def test_without_a_url_and_without_the_embedded_server_it_is_a_settings_error(tmp_path: Path) -> None:
    """As in every deploy file."""
    ended = lash(*ENQUEUE, cwd=tmp_path, LASH_REDIS_URL="", LASH_EMBEDDED="0")

    assert (2, "LASH_REDIS_URL") == (ended.returncode, error_of(ended)["field"])
    assert not (tmp_path / ".lash").exists()


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """``lash … | head -1``."""
    command = f"{sys.executable} -m lash_worker.cli.main config show | head -1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

    assert (0, "") == (ended.returncode, ended.stderr)


def test_a_follower_waits_for_a_server_that_restarts() -> None:
    """It says so on stderr, loses nothing and says nothing twice; one that finds no server at all ends."""
    command = [sys.executable, "-m", "lash_worker.cli.main", "process", "changes", "--follow", "--json", "--name", "n"]
    with ValkeyServer() as server:
        url = server.url
        assert 0 == lash(*ENQUEUE, LASH_REDIS_URL=url).returncode
        env = {**os.environ, "LASH_REDIS_URL": url, "PYTHONUNBUFFERED": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([*command, "--limit", "2"], text=True, env=env, **pipes) as following:
            out, err = following.stdout, following.stderr
            assert out is not None
            assert err is not None
            assert "p" == json.loads(out.readline())["id"]
            server.kill()
            assert "waits for the store" in err.readline()
            assert 5 == lash(*command[3:], LASH_REDIS_URL=url).returncode
            server.restart()
            assert 0 == lash("enqueue", "k", "--disposition", "rerunnable", "--id", "q", LASH_REDIS_URL=url).returncode
            assert "goes on" in err.readline()
            assert "q" == json.loads(out.readline())["id"]
            assert 0 == following.wait(30)
