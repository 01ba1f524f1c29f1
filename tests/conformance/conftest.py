"""One server of each kind per test process, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.backends import open_server


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is not in memory alone asks a server: the stages of ``make test`` tell the two apart."""
    if item.get_closest_marker("in_memory") is None:
        item.add_marker("stores")


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[[str], str]]:
    """Backend → URL; the server lives until the end of the session."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def url_of(backend: str) -> str:
            if backend == "memory":
                return ""
            if backend not in urls:
                urls[backend] = stack.enter_context(open_server(backend))
            return urls[backend]

        yield url_of
