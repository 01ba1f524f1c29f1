"""``lash serve``: what it refuses before it connects to anything, and what its options mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from lash_core.errors import SettingsError
from lash_core.settings import load_settings
from lash_worker.cli import serve as command
from lash_worker.cli.main import run
from lash_worker.cli.serve_app import plan_of, whom
from tests.web.kit import TOKEN

GIVEN: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "allow_write": False,
    "read_only": False,
    "allowed_hosts": (),
    "origins": (),
    "watchers": 10,
    "no_page": False,
    "tls_cert": None,
    "tls_key": None,
}


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects has gone too far."""

    def quiet(form: str) -> None:
        """Log lines stay pytest's."""

    def connect(*given: object) -> None:
        pytest.fail("it connected")

    monkeypatch.setattr(command, "start_logging", quiet)
    monkeypatch.setattr(command, "with_client", connect)
    monkeypatch.delenv("LASH_WEB_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("args", "token", "said"),
    [
        (("--host", "0.0.0.0"), "", "LASH_WEB_TOKEN"),
        (("--host", "example.com"), "", "LASH_WEB_TOKEN"),
        (("--allow-write", "--host", "::"), "", "LASH_WEB_TOKEN"),
        (("--allow-write", "--read-only"), "", "contradict"),
        ((), "too-short", "at least 16"),
        (("--allowed-host", "http://x"), "", "neither scheme nor port"),
        (("--origin", "chat.example.com"), "", "https://"),
        (("--tls-key", __file__), "", "--tls-cert"),
        (("--port", "65536"), "", "--port"),
        (("--watchers", "0"), "", "--watchers"),
    ],
)
def test_what_is_refused(
    args: tuple[str, ...], token: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the option or variable by name, and never the token."""
    monkeypatch.setenv("LASH_WEB_TOKEN", token)

    assert 2 == run(["serve", *args])
    error = capsys.readouterr().err
    assert said in error
    assert "too-short" not in error


def test_what_is_not_installed_is_said_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and nothing was connected to."""
    monkeypatch.delattr("lash_worker.cli.serve_app")
    monkeypatch.delitem(sys.modules, "lash_worker.cli.serve_app")
    monkeypatch.delitem(sys.modules, "lash_core.web.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 2 == run(("serve",))
    said = "lash: lash serve needs uvicorn, of the extra [web]: pip install 'lash[web]', in a checkout '.[web]'\n"
    assert said == capsys.readouterr().err


def test_the_token_may_stand_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line; anything else is said without its content."""
    file = tmp_path / "token"
    for content in (b"", b"\n \n", b"\xff\xfe", b"x" * 5_000):
        file.write_bytes(content)
        assert 2 == run(["serve", "--token-file", str(file), "--log-format", "json"])
        error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
        assert "token-file" == error["field"]
    file.write_text(f"  {TOKEN}\n")
    assert TOKEN == command.token_of(command.Invocation(), file)


def test_the_token_of_the_environment_is_a_secret() -> None:
    """It is in no text of the settings."""
    settings = load_settings({"LASH_WEB_TOKEN": TOKEN})
    assert TOKEN == settings.web_token
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("token", "options", "writes"),
    [
        (None, {}, False),
        (None, {"allow_write": True}, True),
        (TOKEN, {}, True),
        (TOKEN, {"read_only": True}, False),
    ],
)
def test_who_may_write(token: str | None, options: dict[str, Any], writes: bool) -> None:
    """With a token whoever has it; without one nobody, unless told."""
    plan = plan_of(token, GIVEN | options)
    assert writes == plan.config.writes
    assert 10 == plan.config.limits.watchers_max


@pytest.mark.parametrize(
    ("token", "options", "words"),
    [
        (None, {}, "clients on this machine, read-only; --allow-write lets them send and cancel"),
        (None, {"read_only": True}, "clients on this machine, read-only"),
        (None, {"allow_write": True}, "clients on this machine, read and write"),
        (TOKEN, {}, "with a token, read and write"),
    ],
)
def test_whom_it_answers_is_said_when_it_starts(token: str | None, options: dict[str, Any], words: str) -> None:
    """Who may not send by default is told how."""
    assert words == whom(plan_of(token, GIVEN | options).config)


def test_a_plan_has_what_was_asked_for() -> None:
    """Names, origins, the page, the certificate."""
    plan = plan_of(
        TOKEN,
        GIVEN
        | {"host": "0.0.0.0", "allowed_hosts": ("a.test",), "origins": ("https://a.test",), "no_page": True}
        | {"tls_cert": "c.pem", "tls_key": "k.pem"},
    )
    assert (("a.test",), ("https://a.test",), False) == (
        plan.config.allowed_hosts,
        plan.config.origins,
        plan.config.page,
    )
    assert plan.certificate is not None
    with pytest.raises(SettingsError):
        plan_of(None, GIVEN | {"host": "0.0.0.0"})
    with pytest.raises(click.UsageError):
        plan_of(None, GIVEN | {"tls_key": "k.pem"})
