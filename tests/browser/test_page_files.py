"""What the page is made of. Needs no browser."""

from __future__ import annotations

import re

import pytest

from tests.browser.scripted_server import PAGE

FILES = sorted(file for file in PAGE.iterdir() if file.is_file())
BYTES_MAX = 80_000
"""All of it: less than one picture, so it may be asked for each time."""

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_texts_are_never_markup_and_nothing_comes_from_elsewhere(name: str) -> None:
    """No way to make elements or code of a text, no inline code, and every address is relative to the file."""
    text = (PAGE / name).read_text()
    text = text.replace("http://www.w3.org/2000/svg", "")

    assert [] == re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|https?://|localStorage", text
    )
    assert [] == re.findall(r"""(?:src|href|from|import)\s*[=(]?\s*["']/""", text)
    if name.endswith(".html"):
        assert [] == re.findall(r"<style|style=|\son\w+=|<script(?![^>]*src=)", text)


def test_the_page_is_small() -> None:
    assert BYTES_MAX > sum(file.stat().st_size for file in FILES)


def test_every_module_that_is_imported_is_there() -> None:
    names = {file.name for file in FILES}
    imported = {name for file in FILES for name in re.findall(r'from "\./([^"]+)"', file.read_text())}

    assert imported <= names
    assert {name for name in names if name.endswith(".js")} == imported | {"main.js"}
