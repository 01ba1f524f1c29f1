"""Fail when a script's header lies: KEYS, ARGV and RETURNS are compared with the body."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.lua_headers import FOLDER, Script


def faults_of(path: Path) -> list[str]:
    """What is wrong with one script's header."""
    script = Script.read(path)
    faults: list[str] = []
    if not script.header.startswith(f"-- {script.name}: "):
        faults.append(f"the header must start with '-- {script.name}: <sentence>'")
    faults += [f"no {word} line" for word in ("RETURNS", "INVARIANT", "CLOCK") if f"-- {word} " not in script.header]
    for kind in ("KEYS", "ARGV"):
        highest, open_ended = script.declared(kind)
        numbered = script.numbered(kind)
        if numbered != set(range(1, highest + (0 if open_ended else 1))):
            faults.append(f"{kind} slots of the header have a hole")
        if not open_ended:
            faults += [
                f"{kind}[{slot}] is used but not in the header" for slot in sorted(script.used(kind)) if slot > highest
            ]
    faults += [
        f"ARGV[{slot}] is in the header but not used" for slot in sorted(script.numbered("ARGV") - script.used("ARGV"))
    ]
    text = script.body + script.included
    for words in script.promised:
        if not any(f"'{word}{end}" in text for word in words for end in "' "):
            faults.append(f"RETURNS names {' or '.join(sorted(words))}, which the body never answers")
    unnamed = sorted(word for word in script.returned_words if word not in script.returns.split())
    faults += [f"the body answers {word}, which RETURNS does not name" for word in unnamed]
    reads_clock = "now_ms" in text or "now_us" in text
    if reads_clock == ("-- CLOCK not used" in script.header):
        faults.append("CLOCK does not say whether the clock is read")
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
