"""Every service of the compose file starts from its own ``command``; no container runtime is needed for that."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lash_core.testing.servers import free_port, server_binary
from tests.deploy.fleet_commands import ROOT, fetch, running, until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
LASH = [sys.executable, "-m", "lash_worker.cli.main"]


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """The shipped redis.conf on a server of this machine, on a port of its own."""
    command = COMPOSE["services"]["redis"]["command"]
    assert ["redis-server", "/etc/lash/redis.conf"] == command
    port = free_port()
    started = [str(server_binary()), str(ROOT / "deploy" / "redis.conf"), "--port", str(port), "--bind", "127.0.0.1"]
    with running([*started, "--dir", str(tmp_path)], {}) as server:
        url = f"redis://127.0.0.1:{port}/0"
        with running([*LASH, "doctor", "--json"], {"LASH_REDIS_URL": url, "LASH_EMBEDDED": "0"}) as doctor:
            output, _ = doctor.communicate(timeout=30)
        assert server.poll() is None
        assert "error" not in output.splitlines()[0]
        yield url


def environment_of(service: dict[str, Any], url: str) -> dict[str, str]:
    """The service's own environment, its Redis replaced by ours."""
    return {**service["environment"], "LASH_REDIS_URL": url}


@pytest.mark.faults
def test_every_service_runs_from_its_command(redis_url: str) -> None:
    """Three workers, the exporter and the web app start; each answers on its port; SIGTERM ends each with 0."""
    services = COMPOSE["services"]
    worker = services["worker-1"]
    assert services["worker-2"] == worker
    assert services["worker-3"] == worker
    port, metrics, web = free_port(), free_port(), free_port()
    worker_command = [*LASH, *(str(metrics) if part == "9465" else part for part in worker["command"])]
    exporter_command = [*LASH, *(str(port) if part == "9464" else part for part in services["exporter"]["command"])]
    web_command = [*LASH, *(str(web) if part == "8470" else part for part in services["web"]["command"])]
    web_environment = environment_of(services["web"], redis_url) | {"LASH_WEB_TOKEN": "a-token-of-this-test"}
    with (
        running(worker_command, environment_of(worker, redis_url)) as first,
        running(exporter_command, environment_of(services["exporter"], redis_url)) as exporter,
        running(web_command, web_environment) as serving,
    ):
        until(lambda: 200 == fetch(f"http://127.0.0.1:{metrics}/readyz")[0])
        until(lambda: "lash_fleet_up 1.0" in fetch(f"http://127.0.0.1:{port}/metrics")[1])
        until(lambda: f":{metrics}" in fetch(f"http://127.0.0.1:{port}/sd")[1])
        until(lambda: 200 == fetch(f"http://127.0.0.1:{web}/healthz")[0])
        assert 401 == fetch(f"http://127.0.0.1:{web}/sessions")[0]
        for process in (first, exporter, serving):
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(30)


def test_nobody_is_served_without_a_token() -> None:
    """The web app listens where its container is reached, so it ends at once, and says what it lacks."""
    service = COMPOSE["services"]["web"]
    assert "${LASH_WEB_TOKEN:-}" == service["environment"]["LASH_WEB_TOKEN"]
    environment = environment_of(service, "redis://127.0.0.1:1/0") | {"LASH_WEB_TOKEN": ""}
    with running([*LASH, *service["command"]], environment) as serving:
        said, _ = serving.communicate(timeout=30)
    assert 2 == serving.returncode
    assert "set LASH_WEB_TOKEN" in said


def test_every_service_that_runs_lash_forbids_the_embedded_server() -> None:
    """A missing URL in production is an error, never a private server."""
    for service in COMPOSE["services"].values():
        if "lash:local" == service.get("image"):
            assert "0" == service["environment"]["LASH_EMBEDDED"]
