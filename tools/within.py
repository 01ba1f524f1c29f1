"""Run a command and fail when it takes longer than its budget: ``within.py SECONDS NAME -- COMMAND…``."""

from __future__ import annotations

import subprocess
import sys
import time


def main(argv: list[str]) -> int:
    """Return the command's exit code, or 1 when it passed but was too slow."""
    budget_s, name = float(argv[0]), argv[1]
    command = argv[argv.index("--") + 1 :]
    started = time.monotonic()
    # Half as long again before it is stopped: a report of what is slow is worth more than a cut run.
    try:
        code = subprocess.run(command, check=False, timeout=budget_s * 1.5).returncode
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {budget_s * 1.5:.0f} s; the budget is {budget_s:.0f} s", file=sys.stderr)
        return 1
    took_s = time.monotonic() - started
    print(f"{name}: {took_s:.0f} s of {budget_s:.0f} s")
    if code == 0 and took_s > budget_s:
        print(f"{name}: over its budget", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
