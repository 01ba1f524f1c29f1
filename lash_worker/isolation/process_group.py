"""Operating-system processes that must not outlive who started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_POLL_SECONDS = 1.0
"""Where no signal tells of the parent's death (macOS), its id is looked at this often."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, parent_pid: int) -> None:
    """Let the kernel send this process ``number`` when the thread that started it ends (Linux).

    A parent that is gone already never sends it, hence the comparison. Elsewhere a thread polls.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    else:
        threading.Thread(target=_poll_parent, args=(number, parent_pid), name="lash-parent", daemon=True).start()
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), number)


def _poll_parent(number: signal.Signals, parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(PARENT_POLL_SECONDS)
    os.kill(os.getpid(), number)


def signal_group(pid: int, number: signal.Signals) -> bool:
    """Signal a whole process group by its leader's id; False when nobody is left in it."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # PermissionError is what macOS says of a group that consists of zombies.
        return False
    return True
