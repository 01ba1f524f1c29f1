"""Run pytest; judge the few tests that failed by a run of theirs alone: ``judged_alone.py MOST -- PYTEST COMMAND…``.

Tests over real servers share two cores with each other, and one in some thousands meets a pause of the machine that no
deadline allows for. Such a test is named loudly and passes only if it passes by itself; more than ``MOST`` failures are
no accident, and are final. See ``docs/adr/0271-a-test-that-fails-beside-others-is-judged-alone.md``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS_FAILED = 1
"""pytest's exit code when tests ran and some failed: no other code is judged again."""


def main(argv: list[str]) -> int:
    """Return the exit code of the command, or that of the second run."""
    most, command = int(argv[0]), argv[argv.index("--") + 1 :]
    with tempfile.TemporaryDirectory() as cache:
        remembered = [*command, "-o", f"cache_dir={cache}"]
        code = subprocess.run(remembered, check=False).returncode
        failed = failed_tests(Path(cache))
        if code != TESTS_FAILED or not 0 < len(failed) <= most:
            return code
        print(f"\n{len(failed)} failed beside others and run once more, alone:", *failed, sep="\n  ", flush=True)
        alone = ["--last-failed", "-n", "0", *seed_of(Path(cache))]
        code = subprocess.run([*remembered, *alone], check=False).returncode
        print(*(f"{'FLAKY, passes alone' if code == 0 else 'failed alone too'}: {test}" for test in failed), sep="\n")
        return code


def failed_tests(cache: Path) -> list[str]:
    """The ids of the tests that failed, as pytest's cache keeps them."""
    file = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else []


def seed_of(cache: Path) -> list[str]:
    """The option for the seed of the first run: a random walk that failed must fail alone, too."""
    file = cache / "v" / "randomly_seed"
    return [f"--randomly-seed={json.loads(file.read_text(encoding='utf-8'))}"] if file.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
