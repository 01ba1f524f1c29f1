"""Proofs of death: only what the kernel says for certain counts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lash_core.model.owner import LocalProcessLiveness, OpaqueLiveness
from lash_worker import liveness
from lash_worker.liveness import LocalProcessTable, local_liveness, process_stat

TABLE = LocalProcessTable()
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux_only
def test_own_liveness_names_this_process_completely() -> None:
    """Host, boot, pid namespace, pid and start time are all there on Linux."""
    own = local_liveness()

    assert isinstance(own, LocalProcessLiveness)
    assert os.getpid() == own.pid
    assert all((own.host_id, own.boot_id, own.pid_namespace, own.process_start))


@linux_only
def test_part_that_cannot_be_read_makes_it_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is proved from a part of an identity (decision 35)."""
    monkeypatch.setattr(liveness, "_pid_namespace", lambda: "")

    assert OpaqueLiveness() == local_liveness()


@linux_only
def test_living_process_with_its_own_start_time_is_not_dead() -> None:
    """This process is alive; under another start time its pid belonged to somebody who is gone."""
    stat = process_stat(os.getpid())
    assert stat is not None

    assert not TABLE.is_dead(os.getpid(), stat[1])
    assert TABLE.is_dead(os.getpid(), stat[1] - 1)


@linux_only
def test_reaped_child_is_dead_and_a_zombie_is_not() -> None:
    """A zombie's threads may still run; only a pid that is gone proves the death."""
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.DEVNULL)
    stat = process_stat(child.pid)
    assert stat is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert not TABLE.is_dead(child.pid, stat[1])
    child.wait()
    assert TABLE.is_dead(child.pid, stat[1])


def test_unreadable_start_time_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user under hidepid exists for kill and not for /proc."""

    def unreadable(pid: int) -> None:
        del pid

    monkeypatch.setattr(liveness, "process_stat", unreadable)

    assert not TABLE.is_dead(os.getpid(), 1)
    assert not TABLE.is_dead(0, 1)
