"""The Dockerfile's install line works in a fresh environment, and its command starts a worker there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.deploy.fleet_commands import ROOT, running

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def lines_of(word: str) -> list[str]:
    """Arguments of every instruction of that name."""
    return [match.strip() for match in re.findall(rf"^{word} (.+)$", DOCKERFILE, re.MULTILINE)]


def copied(target: Path) -> None:
    """Carry out the COPY lines into ``target``."""
    for line in lines_of("COPY"):
        *sources, destination = line.split()
        for source in sources:
            origin = ROOT / source
            if origin.is_dir():
                shutil.copytree(origin, target / destination, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, target / destination)


@pytest.mark.faults
@pytest.mark.timeout(170)
def test_install_line_and_command_work_in_a_fresh_environment(tmp_path: Path) -> None:
    """COPY, RUN pip install and ENTRYPOINT + CMD, executed with a new virtual environment instead of an image."""
    context = tmp_path / "app"
    context.mkdir()
    copied(context)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    install = next(line for line in lines_of("RUN") if "pip install" in line)
    path = f"{binaries}:{os.environ['PATH']}"
    subprocess.run(install, shell=True, cwd=context, check=True, env={**os.environ, "PATH": path}, capture_output=True)
    command = [*json.loads(lines_of("ENTRYPOINT")[0]), *json.loads(lines_of("CMD")[0])]
    environment = {
        "PATH": path,
        "PYTHONPATH": str(context),
        "LASH_APP": "examples.reports:app",
        "LASH_DATA_DIR": str(tmp_path / "data"),
        "LASH_EMBEDDED": "1",
        "LASH_REDIS_URL": "",
    }
    with running([str(binaries / command[0]), *command[1:]], environment, cwd=context) as worker:
        lash = [str(binaries / "lash")]
        subprocess.run(
            [
                *lash,
                "enqueue",
                "report.build",
                "--id",
                "d-1",
                "--payload",
                '{"month": "x"}',
                "--disposition",
                "rerunnable",
            ],
            check=True,
            cwd=context,
            env={**os.environ, **environment},
            capture_output=True,
        )
        done = subprocess.run(
            [*lash, "process", "result", "d-1", "--wait", "--timeout", "30", "--json"],
            check=True,
            cwd=context,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        assert "report of x" in done.stdout
        worker.send_signal(signal.SIGTERM)
        assert 0 == worker.wait(30)


def test_the_image_runs_as_nobody_special_and_drains_on_stop() -> None:
    """A user of its own, SIGTERM as stop signal, no embedded server."""
    assert ["lash"] == lines_of("USER")
    assert ["SIGTERM"] == lines_of("STOPSIGNAL")
    assert any("LASH_EMBEDDED=0" in line for line in lines_of("ENV"))
    assert sys.version_info[:2] >= (3, 11)
