"""Fail when a script's header lies: KEYS, ARGV and RETURNS are compared with the body (docs/adr, STYLE of scripts)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "lash_core" / "redis_store" / "lua"

_SLOT = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\.\.|\+)?[^\]]*\]\s+\S+", re.MULTILINE)
_USED = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")


def faults_of(path: Path) -> list[str]:
    """What is wrong with one script's header."""
    text = path.read_text()
    header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    faults: list[str] = []
    first = next((line for line in text.splitlines() if not line.startswith("#!")), "")
    if not first.startswith(f"-- {path.stem}: "):
        faults.append(f"the first line must be '-- {path.stem}: <sentence>'")
    for word in ("RETURNS", "INVARIANT", "CLOCK"):
        if f"-- {word}" not in header:
            faults.append(f"no {word} line")
    named = {(kind, int(number)) for kind, number, _ in _SLOT.findall(header)}
    used = {(kind, int(number)) for kind, number in _USED.findall(body)}
    faults += [f"{kind}[{number}] is used but not in the header" for kind, number in sorted(used - named)]
    if not any(kind == "KEYS" for kind, _ in named):
        faults.append("no KEYS line")
    return faults


def main() -> int:
    """Print each fault."""
    bad = 0
    scripts = sorted(FOLDER.glob("*.lua"))
    for path in scripts:
        for fault in faults_of(path):
            bad += 1
            print(f"{path.name}: {fault}")
    print(f"script headers: {len(scripts)} scripts, {bad} faults")
    return 1 if bad or not scripts else 0


if __name__ == "__main__":
    sys.exit(main())
