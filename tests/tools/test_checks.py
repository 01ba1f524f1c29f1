"""The project's own checks catch what they are for."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tools.check_lua_headers import FOLDER, faults_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "claim_ready_processes.lua"
PLACE = r"(\d+(?:\.\d+)*)(?:\s+rules?\s+(\d+(?:(?:,|\s+and|\s+to)\s+\d+)*))?"
"""A section, maybe with rules of it: ``3.3 rules 4 to 6``."""
NUMBERS = r"\d+(?:\.\d+)*(?:(?:, and|,| and| to) \d+(?:\.\d+)*)*"
"""One number or several: ``2.5, 2.6 and 3.4``."""


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (r"(?m)^-- ARGV\[1\].*\n", "", "ARGV slots of the header have a hole"),
        (r"(?m)^-- RETURNS", "-- ANSWERS", "no RETURNS line"),
        (r"(?m)^-- INVARIANT", "-- NOTE", "no INVARIANT line"),
        (r"(?m)^-- CLOCK", "-- TIME", "no CLOCK line"),
    ],
)
def test_a_header_that_lies_is_found(tmp_path: Path, pattern: str, replacement: str, fault: str) -> None:
    """Dropping or renaming a header line is a fault."""
    copy = tmp_path / SCRIPT
    copy.write_text(re.sub(pattern, replacement, (FOLDER / SCRIPT).read_text()))

    assert fault in faults_of(copy)


def test_a_command_over_its_budget_fails() -> None:
    """``within.py`` fails a command that passes too slowly and hands on the code of one that fails."""
    within = [sys.executable, str(ROOT / "tools" / "within.py")]
    slow = [*within, "0.2", "slow", "--", sys.executable, "-c", "import time; time.sleep(0.25)"]
    wrong = [*within, "30", "wrong", "--", sys.executable, "-c", "raise SystemExit(7)"]

    assert 1 == subprocess.run(slow, check=False, capture_output=True).returncode
    assert 7 == subprocess.run(wrong, check=False, capture_output=True).returncode


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("flag.exists() or (flag.touch(), False)[1]", 0),
        ("False", 1),
    ],
)
def test_a_test_that_fails_is_judged_alone(tmp_path: Path, failing: str, expected: int) -> None:
    """What passes alone passes and is named; what fails again fails."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    body = f"from pathlib import Path\nflag = Path({str(tmp_path / 'flag')!r})\ndef test_it():\n    assert {failing}\n"
    (tmp_path / "test_one.py").write_text(body + "def test_other(): pass\n")
    pytest_alone = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", str(tmp_path)]
    judged = [sys.executable, str(ROOT / "tools" / "judged_alone.py"), "3", "--", *pytest_alone]

    ran = subprocess.run(judged, check=False, capture_output=True, text=True, cwd=tmp_path)

    assert expected == ran.returncode, ran.stdout + ran.stderr
    assert ("FLAKY, passes alone: " if expected == 0 else "failed alone too: ") in ran.stdout
    assert "test_one.py::test_it" in ran.stdout


def test_a_random_walk_is_judged_by_the_seed_that_it_failed_with(tmp_path: Path) -> None:
    """Else a fault that one walk in a hundred meets would pass as an accident of the machine."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_one.py").write_text(
        f"""from pathlib import Path
import random

SEEDS = Path({str(tmp_path / "seeds")!r})

def test_it():
    with SEEDS.open("a") as file:
        file.write(f"{{random.random()}} ")
    assert False
"""
    )
    judged = [sys.executable, str(ROOT / "tools" / "judged_alone.py"), "3", "--", sys.executable, "-m", "pytest", "-q"]

    subprocess.run([*judged, str(tmp_path)], check=False, capture_output=True, text=True, cwd=tmp_path)

    first, second = (tmp_path / "seeds").read_text().split()
    assert first == second


def test_many_failures_are_final(tmp_path: Path) -> None:
    """More than the bound is no accident: nothing runs again."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_many.py").write_text("".join(f"def test_{n}(): assert False\n" for n in range(4)))
    judged = [sys.executable, str(ROOT / "tools" / "judged_alone.py"), "3", "--", sys.executable, "-m", "pytest", "-q"]

    ran = subprocess.run([*judged, str(tmp_path)], check=False, capture_output=True, text=True, cwd=tmp_path)

    assert 1 == ran.returncode
    assert "alone" not in ran.stdout


def test_every_test_over_a_cluster_is_in_a_folder_of_its_stage() -> None:
    """The stage names its folders; a marked test elsewhere would run nowhere."""
    stage = re.search(r"^CLUSTERED := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert stage is not None
    marked = [file.relative_to(ROOT) for file in (ROOT / "tests").rglob("*.py") if "mark.cluster" in file.read_text()]

    assert marked
    # This file only speaks of it.
    outside = {str(file.parent) for file in marked if file.name != Path(__file__).name} - set(stage[1].split())
    assert set() == outside


def test_file_names_in_the_documents_exist() -> None:
    """Every path that a document names in backticks is there."""
    missing: list[str] = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:lash_core|lash_worker|deploy|docs|tools|tests|benchmarks|examples)/[\w./-]+)`", document.read_text()
        ):
            if not list(ROOT.glob(name.rstrip("/") + "*")):
                missing.append(f"{document.name}: {name}")

    assert [] == missing


def places_of_design(text: str) -> set[str]:
    """Headings, and the numbered rules below them, as a citation would name them."""
    places: set[str] = set()
    section = ""
    for line in text.splitlines():
        if heading := re.match(r"#{2,3} (\d+(?:\.\d+)*)\.? ", line):
            section = heading[1]
            places.add(section)
        elif section and (rule := re.match(r"(\d+)\. ", line)):
            places.add(f"{section} rule {rule[1]}")
    return places


def places_cited(text: str) -> set[str]:
    """What the text cites of the design, one place each: a section, or a rule of it."""
    flat = " ".join(text.split())
    cited: set[str] = set()
    listed = re.sub(r"\((?!\?)", "(?:", PLACE)
    for citation in re.findall(rf"\bDESIGN ({listed}(?:(?:,| and) {listed})*)", flat):
        for section, rules in re.findall(PLACE, citation):
            cited.add(section)
            numbers = [int(number) for number in re.findall(r"\d+", rules)]
            if " to " in rules:
                numbers = list(range(numbers[0], numbers[-1] + 1))
            cited |= {f"{section} rule {number}" for number in numbers}
    return cited


def test_citations_of_the_design_exist() -> None:
    """Every section and rule that a file cites stands in the design."""
    there = places_of_design((ROOT / "docs" / "DESIGN.md").read_text())
    missing: list[str] = []
    for folder in ("lash_core", "lash_worker", "tests", "docs", "deploy"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                faults = places_cited(file.read_text(errors="replace")) - there
                missing += [f"{file.relative_to(ROOT)}: {place}" for place in sorted(faults)]

    assert {f"3.3 rule {number}" for number in range(1, 13)} <= there
    assert {"1", "3.2", "3.3", "3.3 rule 4", "3.3 rule 5", "3.3 rule 6"} == places_cited(
        "DESIGN 1, 3.2 and 3.3 rules 4 to 6, decision 9"
    )
    assert [] == missing


def places_of_contract(text: str) -> set[str]:
    """Numbers of the headings; one that says ``3.6 to 3.11`` stands for all of them."""
    places: set[str] = set()
    for first, last in re.findall(r"(?m)^#{2,3} (\d+(?:\.\d+)?)(?: to \d+\.(\d+))?(?= |$)", text):
        section, _, number = first.partition(".")
        places |= {f"{section}.{n}" for n in range(int(number), int(last) + 1)} if last else {first}
    return places


def numbers_cited(text: str, word: str) -> set[str]:
    """The numbers after a word such as ``decisions 3, 9 and 16``; a heading is not a citation."""
    cited: set[str] = set()
    for paragraph in re.split(r"\n\s*\n", text):
        flat = re.sub(r"\n[ \t]*(?:--|#(?!#))?[ \t]*", " ", f"\n{paragraph}")
        for numbers in re.findall(rf"(?<!# )(?<!\w)(?i:{word}) ({NUMBERS})", flat):
            cited |= set(re.findall(r"\d+(?:\.\d+)*", numbers))
    return cited


@cache
def files_that_cite() -> tuple[Path, ...]:
    """Code, scripts and documents that name a page."""
    folders = ("lash_core", "lash_worker", "tests", "docs", "benchmarks", "examples")
    files = (file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".lua", ".md"})
    return tuple(file for file in files if ".md" in text_of(file))


@cache
def text_of(file: Path) -> str:
    """The text of a file, read once for all pages."""
    return file.read_text()


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "contracts").glob("*.md")), ids=lambda page: page.stem)
def test_citations_of_a_page_exist(page: Path) -> None:
    """Every section that a file cites of a page of ``docs/contracts`` by the page's name stands in that page."""
    there = places_of_contract(page.read_text())
    word = rf"(?:docs/contracts/)?{page.stem}\.md[`)]*"
    assert {"2", "2.4"} == numbers_cited(f"(``docs/contracts/{page.name}`` 2.4;\n[it]({page.name}) 2 says so)", word)
    missing: list[str] = []
    for file in files_that_cite():
        missing += [
            f"{file.relative_to(ROOT)}: {number}" for number in sorted(numbers_cited(text_of(file), word) - there)
        ]

    assert [] == missing


def test_citations_of_the_contract_exist() -> None:
    """Every decision, section and hazard that a file cites stands in ``docs/contracts``."""
    contracts = ROOT / "docs" / "contracts"
    page = (contracts / "processes.md").read_text()
    # Sections 4 and 5 are longer than a page: each has one of its own.
    pages = (page, *(f"\n{(contracts / name).read_text()}" for name in ("execution_context.md", "effects.md")))
    decisions = (contracts / "decisions.md").read_text()
    there = {
        r"decisions?": set(re.findall(r"(?m)^(\d+)\. ", decisions)),
        r"(?:contracts?|docs/contracts/processes\.md`*)": places_of_contract("\n".join(pages)),
        r"hazards?": set(re.findall(r"(?m)^\| (\d+) \|", page.partition("## 6 Hazards")[2])),
    }
    missing: list[str] = []
    for folder in ("lash_core", "lash_worker", "tests", "docs"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                text = file.read_text(errors="replace")
                for word, known in there.items():
                    missing += [
                        f"{file.relative_to(ROOT)}: {word} {n}" for n in sorted(numbers_cited(text, word) - known)
                    ]

    assert {str(number) for number in range(1, 38)} == there[r"decisions?"]
    assert {"3", "3.6", "3.11", "4.8"} <= places_of_contract(page)
    assert {"3", "9", "16", "21"} == numbers_cited(
        "decisions 3, 9\n    # and 16; hazard 2\n\nDecision 21.", r"decisions?"
    )
    assert set() == numbers_cited("## Decision\n64 by default", r"decisions?")
    assert [] == missing
