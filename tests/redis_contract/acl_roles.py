"""A server whose users are the shipped ACL files, as each role sees it, and what it refused."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from lash_core.errors import StoreAuthError
from lash_core.redis_store.acl import Role
from lash_core.redis_store.commands import Command
from lash_core.redis_store.redis_errors import refusal
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

FILES = Path(__file__).resolve().parents[2] / "deploy" / "acl"
SETTINGS = StoreSettings(partitions=4)
ASKED_ON_CONNECT = ("config|get", "sec:{lash:dir}")


def connect(server: ValkeyServer, role: Role | None) -> AbstractAsyncContextManager[RedisStores]:
    """Stores of the default namespace as a role, or as the administrator."""
    url = server.url if role is None else server.url.replace("unix://", f"unix://lash-{role}:secret@")
    return RedisStores.connect(url, settings=SETTINGS)


async def denials(admin: RedisStores) -> list[str]:
    """What the server refused since the log was emptied, without what a connecting client may be refused: CONFIG, and
    the signing secret, which an observer does without.
    """
    log = await admin.context.connection.execute("", "ACL", "LOG")
    found = [entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True)) for entry in log]
    return [f"{entry['reason']} {entry['object']}" for entry in found if entry["object"] not in ASKED_ON_CONNECT]


async def refused(stores: RedisStores, *command: str | int) -> bool:
    """Whether the server refuses a command for lack of permission."""
    reply = (await stores.context.connection.pipeline([Command("", command)]))[0]
    return isinstance(reply, Exception) and isinstance(refusal(reply, "server"), StoreAuthError)
