"""The secret that signs await-event keys: one a namespace, outside the keys that an observer may read (DESIGN 3.2).

Stored as ``<current>`` or ``<current>;<previous>``, each 64 hex digits. Who rotates it puts the new one in front of the
old one, which then verifies keys that are still about.
"""

from __future__ import annotations

import secrets
from typing import Any

from redis.exceptions import ResponseError

from lash_core.errors import CorruptRecordError, SettingsError, StoreAuthError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.keys import secret_key
from lash_core.redis_store.redis_errors import refusal
from lash_core.settings import StoreSettings
from lash_core.store.promise_store import SigningSecrets

SECRET_BYTES = 32


async def open_signing_secrets(connection: RedisConnection, settings: StoreSettings) -> SigningSecrets | None:
    """Read the namespace's secret, make it when there is none; None for a role that may not read it. Safe to repeat.

    Raises:
        CorruptRecordError: the key holds something else. SettingsError: ``LASH_SIGNING_KEY`` is too short.
        StoreUnreachableError, StoreRefusedError: no answer.
    """
    if settings.signing_key is not None:
        return _given(settings.signing_key)
    key = secret_key(settings.namespace)
    try:
        text = await _ask(connection, key, "GET", key)
        if text is None:
            # Only one of those who open a fresh namespace at once makes it; all read it afterwards.
            await _ask(connection, key, "SET", key, secrets.token_hex(SECRET_BYTES), "NX")
            text = await _ask(connection, key, "GET", key)
    except StoreAuthError:
        return None
    return None if text is None else _stored(text, key=key)


async def _ask(connection: RedisConnection, key: str, *command: str) -> str | None:
    reply: Any = (await connection.dispatch([Command(key, command)], repeat_lost=True))[0]
    if isinstance(reply, ResponseError):
        raise refusal(reply, connection.where)
    return reply


def _given(text: str) -> SigningSecrets:
    current, _, previous = text.partition(";")
    if len(current) < 16 or (previous and len(previous) < 16):
        raise SettingsError(
            "LASH_SIGNING_KEY must have at least 16 characters, also on each side of a ';'", field="LASH_SIGNING_KEY"
        )
    return SigningSecrets(current.encode(), previous.encode() if previous else None)


def _stored(text: str, *, key: str) -> SigningSecrets:
    current, _, previous = text.partition(";")
    try:
        found = SigningSecrets(bytes.fromhex(current), bytes.fromhex(previous) if previous else None)
    except ValueError:
        found = None
    if found is None or len(found.current) != SECRET_BYTES:
        # Never the text itself: it may be a secret in another form.
        raise CorruptRecordError(f"{key} is not a signing secret of this release", key=key)
    return found
