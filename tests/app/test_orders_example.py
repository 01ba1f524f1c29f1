"""The commands of the order example's README exist, and its app loads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lash_worker.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "examples" / "orders" / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("lash ")])
def test_a_command_of_the_readme_is_one(line: str) -> None:
    """With these options and as many arguments."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="lash")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, context, words = found, click.Context(found, info_name=words[0], parent=context), words[1:]

    command.parse_args(context, words)


def test_the_readme_shows_the_storm_with_options_that_it_has() -> None:
    """The module's own parser knows them."""
    (storm,) = [line for line in COMMANDS if "examples.orders.storm" in line]
    source = (ROOT / "examples" / "orders" / "storm.py").read_text()

    for option in re.findall(r"--[a-z-]+", storm):
        assert f'"{option}"' in source


def test_what_the_readme_says_of_the_code_is_in_it() -> None:
    """Every name of the table is used in the app."""
    source = (ROOT / "examples" / "orders" / "app.py").read_text()
    table = README.partition("## Try it")[0]

    for name in re.findall(r"`((?:ctx|app)\.[a-z_]+(?:\.[a-z_]+)?)\(", table):
        assert f"{name}(" in source
