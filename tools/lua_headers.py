"""Reads the header and the body of a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "lash_core" / "redis_store" / "lua"

_SLOT = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\.\.)?\]\s+(\S.*)$", re.MULTILINE)
_LITERAL = re.compile(r"return\s*\{?\s*'([a-z_]+)[ ']|reply\[[^\]]*\](?:, reply\[[^\]]*\])? = '([a-z_]+)[ ']")


@dataclass(frozen=True)
class Script:
    """A script: what its header says and what its body does."""

    name: str
    header: str
    body: str
    included: str

    @classmethod
    def read(cls, path: Path) -> Script:
        """The script of a file."""
        lines = path.read_text().splitlines()
        includes = [line.removeprefix("--- @include ").strip() for line in lines if line.startswith("--- @include")]
        included = "\n".join((FOLDER / "includes" / f"{name}.lua").read_text() for name in includes if name != "now")
        header = "\n".join(line for line in lines if line.startswith("-- "))
        body = "\n".join(line for line in lines if not line.startswith(("--", "#!")))
        return cls(path.stem, header, body, included)

    def declared(self, kind: str) -> tuple[int, bool]:
        """The highest slot of KEYS or ARGV in the header, and whether it stands for all after it."""
        slots = [(int(number), bool(more)) for found, number, more, _ in _SLOT.findall(self.header) if found == kind]
        return max(slots, default=(0, False))

    def numbered(self, kind: str) -> set[int]:
        """Slots of the header that stand for one value."""
        return {int(number) for found, number, more, _ in _SLOT.findall(self.header) if found == kind and not more}

    def used(self, kind: str) -> set[int]:
        """Slots that the body names by number."""
        return {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", self.body + self.included)}

    @property
    def returns(self) -> str:
        """The RETURNS part of the header, in one line."""
        found = re.search(
            r"^-- RETURNS (.*?)(?=^-- (?:INVARIANT|CLOCK|COMPUTES))", self.header, re.MULTILINE | re.DOTALL
        )
        return re.sub(r"\n--\s*", " ", found[1]).strip() if found else ""

    @property
    def promised(self) -> list[set[str]]:
        """Of each alternative in RETURNS the words that may be its answer: the first one, and the first after a colon.

        An alternative that begins with a parenthesis is a value; so is a first one that lists values with commas.
        """
        alternatives: list[set[str]] = []
        for place, alternative in enumerate(self.returns.split("|")):
            if place == 0 and "," in alternative:
                continue
            starts = [found[1] for found in re.finditer(r"(?:^|:)\s*([a-z_]+)\b", alternative.strip())]
            if starts:
                alternatives.append(set(starts))
        return alternatives

    @property
    def returned_words(self) -> set[str]:
        """Words that the body answers with."""
        return {first or second for first, second in _LITERAL.findall(self.body)}


def all_scripts() -> list[Script]:
    """Every script of the folder."""
    return [Script.read(path) for path in sorted(FOLDER.glob("*.lua"))]
