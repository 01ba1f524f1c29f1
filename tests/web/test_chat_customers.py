"""Who is who on the page of the example, by its cookie."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from examples.chat.page import COOKIE, Customers


def asked_with(cookie: str) -> Request:
    """A request of a browser that has this cookie."""
    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={cookie}".encode("latin-1"))]})


def test_a_customer_sees_their_own_conversation() -> None:
    """And no other one, nor all of them."""
    customers = Customers(b"secret")
    cookie = customers.new_cookie()
    name = customers.name_of(asked_with(cookie))
    assert name is not None
    assert customers.may(asked_with(cookie), f"shop/{name}", "send_input")
    for session_id in (f"shop/{name}0", name, None):
        assert not customers.may(asked_with(cookie), session_id, "observe")
    assert not customers.may(asked_with(cookie), f"shop/{name}", "cancel_processes")


@pytest.mark.parametrize("cookie", ["", "c1", "c1.", ".", "c1.0123", "c1.\xe9\xff", "\xe9.\xe9"])
def test_a_cookie_that_nobody_signed_is_nobody(cookie: str) -> None:
    """Whatever letters it has."""
    assert Customers(b"secret").name_of(asked_with(cookie)) is None
