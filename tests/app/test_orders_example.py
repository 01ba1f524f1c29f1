"""The commands of the order example's README exist, and its app loads."""

from __future__ import annotations

import re

import pytest

from tests.app.readme_kit import EXAMPLES, commands_of, lash_commands_of, parse, readme_of


@pytest.mark.parametrize("line", lash_commands_of("orders"))
def test_a_command_of_the_readme_is_one(line: str) -> None:
    """With these options and as many arguments."""
    parse(line)


def test_the_readme_shows_the_storm_with_options_that_it_has() -> None:
    """The module's own parser knows them."""
    (storm,) = [line for line in commands_of("orders") if "examples.orders.storm" in line]
    source = (EXAMPLES / "orders" / "storm.py").read_text()

    for option in re.findall(r"--[a-z-]+", storm):
        assert f'"{option}"' in source


def test_what_the_readme_says_of_the_code_is_in_it() -> None:
    """Every name of the table is used in the app."""
    source = (EXAMPLES / "orders" / "app.py").read_text()
    table = readme_of("orders").partition("## Try it")[0]

    for name in re.findall(r"`((?:ctx|app)\.[a-z_]+(?:\.[a-z_]+)?)\(", table):
        assert f"{name}(" in source
