"""The shop's own page: ``python -m examples.chat.page``, with the model and a worker in other terminals.

It mounts lash's app and decides who may see which conversation: a visitor is a customer by a signed cookie, and a
customer has one session. What the browser gets is in ``counter/``; it takes the modules that follow a session from the
mounted app.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.chat import desk
from examples.chat.app import app as chat
from lash_core.client import LashClient
from lash_core.web import WebAction, WebConfig, session_app

PORT = 8012
COOKIE = "customer"
COUNTER = Path(__file__).parent / "counter"
ALLOWED: frozenset[WebAction] = frozenset(("observe", "watch", "send_input", "cancel_input", "list_processes"))
"""What a customer may do in their own conversation, and nobody in another one."""


def kept_secret() -> bytes:
    """The key of the cookies, made once and kept beside the shop's books: customers outlive a restart of the page."""
    file = desk.path().with_name("chat-cookies.key")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(secrets.token_bytes())
    except FileExistsError:
        pass
    return file.read_bytes()


class Customers:
    """Who a visitor is: a name in a cookie that only this server can write."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def new_cookie(self) -> str:
        """A cookie of a customer who was never here."""
        name = f"c{secrets.randbelow(10**9):09d}"
        return f"{name}.{self._signature(name)}"

    def name_of(self, request: Request) -> str | None:
        """The customer who asks."""
        name, _, signature = request.cookies.get(COOKIE, "").partition(".")
        # As bytes: a cookie may hold any letter, and texts of such are not compared.
        return name if hmac.compare_digest(signature.encode(), self._signature(name).encode()) else None

    def may(self, request: Request, session_id: str | None, action: WebAction) -> bool:
        """Everybody has one conversation, and only that."""
        name = self.name_of(request)
        return name is not None and session_id == session_of(name) and action in ALLOWED

    def _signature(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()


def session_of(customer: str) -> str:
    """The session of a customer's conversation."""
    return f"shop/{customer}"


def shop(lash: LashClient | None = None, customers: Customers | None = None) -> Starlette:
    """The page with lash's app at ``/lash``. It connects by itself unless it is given a client."""
    known = customers or Customers(kept_secret())
    clients = [] if lash is None else [lash]

    async def counter(request: Request) -> Response:
        headers = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-store"}
        page = FileResponse(COUNTER / "index.html", headers=headers)
        if known.name_of(request) is None:
            page.set_cookie(COOKIE, known.new_cookie(), httponly=True, samesite="strict")
        return page

    async def me(request: Request) -> Response:
        name = known.name_of(request)
        return JSONResponse({"session_id": name and session_of(name)}, 200 if name else 401)

    @asynccontextmanager
    async def connected(_: Starlette) -> AsyncGenerator[None]:
        if clients:
            yield
            return
        async with LashClient.connect(app=chat) as opened:
            clients.append(opened)
            yield

    return Starlette(
        lifespan=connected,
        routes=[
            Route("/", counter),
            Route("/me", me),
            Mount("/lash", session_app(lambda: clients[0], WebConfig(authorize=known.may))),
            Mount("/", StaticFiles(directory=COUNTER)),
        ],
    )


def main() -> None:
    """Serve it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=PORT)
    # Open streams would hold the end up: they are given two seconds.
    uvicorn.run(shop(), port=parser.parse_args().port, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
