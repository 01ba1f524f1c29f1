"""One Redis command and where it goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import hiredis

from lash_core.errors import InvalidArgumentError

_pack: Any = hiredis.pack_command  # its stub knows commands of one word only


@dataclass(slots=True)
class Command:
    """A command; ``key`` routes it on a cluster. Nobody changes it."""

    # Not frozen: to make a frozen one takes five times as long, and a busy worker makes ten thousand a second.

    key: str
    args: tuple[str | bytes | int | float, ...]


def pack_commands(commands: Iterable[tuple[str | bytes | int | float, ...]]) -> bytes:
    """Commands as they go over the wire.

    Raises:
        InvalidArgumentError: a text has a lone surrogate, so it has no UTF-8; nothing is sent.
    """
    try:
        return b"".join([_pack(command) for command in commands])
    except UnicodeEncodeError as error:
        text = str(error.object)[:80]
        raise InvalidArgumentError(
            f"{text!r} has a lone surrogate: it is no UTF-8 text", field="text", value=text
        ) from error
