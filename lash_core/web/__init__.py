"""Sessions over HTTP: an ASGI app to mount or to serve (``docs/contracts/web.md``). Needs the extra ``[web]``."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("starlette") is None:
    raise ModuleNotFoundError("lash_core.web needs the extra [web]: pip install 'lash[web]'", name="starlette")

from lash_core.web.app import end_streams, session_app
from lash_core.web.config import Authorize, WebAction, WebConfig, WebLimits

__all__ = ["Authorize", "WebAction", "WebConfig", "WebLimits", "end_streams", "session_app"]
