"""Who this OS process is, and whether another one is provably dead (decision 35, ADR 0070).

A proof needs the same boot and the same pid namespace of the same machine. Whatever cannot be read counts as alive,
because a wrong "dead" runs work twice while a wrong "alive" only waits for the lease to expire.
"""

from __future__ import annotations

import os
from pathlib import Path

from lash_core.model.owner import AnyLiveness, LocalProcessLiveness, OpaqueLiveness

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def local_liveness() -> AnyLiveness:
    """What proves the death of this OS process; opaque when a part of it cannot be read."""
    pid = os.getpid()
    boot_id, host_id, namespace = _read(_BOOT_ID), _host_id(), _pid_namespace()
    stat = process_stat(pid)
    if not boot_id or not host_id or not namespace or stat is None:
        return OpaqueLiveness()
    return LocalProcessLiveness(
        host_id=host_id, boot_id=boot_id, pid_namespace=namespace, pid=pid, process_start=stat[1]
    )


def process_stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time in clock ticks since boot of a pid; None when unreadable."""
    text = _read(Path(f"/proc/{pid}/stat"))
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    try:
        return fields[0], int(fields[19])
    except (IndexError, ValueError):
        return None


class LocalProcessTable:
    """This host's processes as the kernel shows them."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True only when no such pid exists or it belongs to a later process."""
        if pid <= 0:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # It exists under another user; its start time may still be readable.
        except OSError:
            return False
        stat = process_stat(pid)
        # A zombie keeps its start time: its leader ended, its threads may not have.
        return stat is not None and stat[1] != process_start


def _host_id() -> str:
    for path in _MACHINE_IDS:
        found = _read(path)
        if found:
            return found
    # Small images have no machine id; boot id and namespace carry the proof, the name tells clones of a VM apart.
    return f"name:{os.uname().nodename}" if os.uname().nodename else ""


def _pid_namespace() -> str:
    try:
        return _PID_NAMESPACE.readlink().name
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
