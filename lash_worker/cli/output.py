"""How views are printed: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lash_core.why import at_text

_PIPE_WIDTH = 200
"""Columns of a table that goes into a file or pipe, where no terminal says a width."""

STATUS_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "abandoned": "magenta",
    "draining": "yellow",
    "silent": "red",
}


def confirm(question: str) -> None:
    """Ask a person before something that cannot be taken back.

    Raises:
        click.UsageError: nobody is there to answer. click.ClickException: the answer was no.
    """
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.UsageError("nobody is there to answer; say --yes to go on without asking") from None
    if not agreed:
        raise click.ClickException("nothing was done")


def print_json(value: Any) -> None:
    """One line of JSON on stdout, flushed so that a reader of a stream sees it at once."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A console that knows its width; colours only on a terminal."""
    probe = Console(stderr=stderr, highlight=False)
    if probe.is_terminal:
        return probe
    return Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH, no_color=True)


def safe(value: object) -> str:
    """Text from a store without control characters: it must not move the cursor or colour the terminal."""
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf") else f"\\x{ord(char):02x}"
        for char in str(value)
    )


def cell(value: object, style: str = "") -> Text:
    """A table cell; None is a dash, nothing is read as markup."""
    return Text("–" if value is None or value == "" else safe(value), style=style or ("dim" if value is None else ""))


def status_cell(status: str) -> Text:
    """A status in its colour."""
    return cell(status, STATUS_STYLES.get(status, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[Text]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; long text is folded, never cut, so that an id can always be copied."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, Text]]) -> Table:
    """Names and values of one thing."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def ago(at_ms: int | None, now_ms: int) -> str | None:
    """How long ago, in one unit: ``3 s``, ``12 min``, ``5 h``, ``9 d``."""
    if at_ms is None:
        return None
    seconds = max(0, now_ms - at_ms) / 1_000
    for limit, unit, size in ((60, "s", 1), (3_600, "min", 60), (86_400, "h", 3_600)):
        if seconds < limit:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds / 86_400)} d"


def when(at_ms: int | None, now_ms: int) -> Text:
    """A time and its age."""
    if at_ms is None:
        return cell(None)
    word = f"{ago(at_ms, now_ms)} ago" if at_ms <= now_ms else f"in {ago(now_ms, at_ms)}"
    return Text.assemble(at_text(at_ms), (f"  ({word})", "dim"))


def json_cell(value: Any, *, limit: int | None = None) -> Text:
    """A JSON value on one line, cut to ``limit`` characters with an ellipsis."""
    text = json.dumps(value, ensure_ascii=False)
    return cell(text if limit is None or len(text) <= limit else text[: limit - 1] + "…")
