"""Commands of an example's README, and whether they are ones."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from lash_worker.cli.main import cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def readme_of(example: str) -> str:
    """Its text."""
    return (EXAMPLES / example / "README.md").read_text()


def commands_of(example: str) -> list[str]:
    """The lines of its console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", readme_of(example), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def lash_commands_of(example: str) -> list[str]:
    """Those that begin with ``lash``, without variables set before it."""
    lines = (re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for line in commands_of(example))
    return [line for line in lines if line.startswith("lash ")]


def parse(line: str) -> None:
    """Parse a command as ``lash`` would, with these options and as many arguments. Raises: click.UsageError."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="lash")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, context, words = found, click.Context(found, info_name=words[0], parent=context), words[1:]
    command.parse_args(context, words)
