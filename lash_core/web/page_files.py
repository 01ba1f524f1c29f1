"""The page that ships with lash: its files, read once (``docs/contracts/web.md`` 1)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
"""What the page is made of; other files of its folder are not served."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
INDEX = "index.html"


@cache
def page_files() -> dict[str, bytes]:
    """Name → bytes of the page's files."""
    folder = resources.files("lash_core.web") / "page"
    if not folder.is_dir():
        return {}
    return {file.name: file.read_bytes() for file in folder.iterdir() if _suffix(file.name) in _TYPES}


def page_routes() -> list[Route]:
    """A route for each file, and the app's root for ``index.html``."""
    routes = [_route(f"/{name}", name) for name in sorted(page_files())]
    return [_route("/", INDEX), *routes] if INDEX in page_files() else routes


def _route(path: str, name: str) -> Route:
    body = page_files()[name]
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    # Asked for each time, so that a new release shows at once; answered without the file where nothing changed.
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}

    async def serve(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=_TYPES[_suffix(name)])

    return Route(path, serve, methods=["GET"], name=f"page {name} at {path}")


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
