"""Carries a list of commands to the nodes that serve their keys, and repeats what may be repeated until a deadline.

A refused command and one that was never sent have written nothing, so both are tried again. A command whose reply was
lost is tried again only when its caller says that a repeat is harmless (DESIGN 3.3 rule 8).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.redis_store.address import Endpoint
from lash_core.redis_store.commands import Command, pack_commands
from lash_core.redis_store.durability import Confirmation
from lash_core.redis_store.keys import confirmation_channel
from lash_core.redis_store.node import Node
from lash_core.redis_store.redis_errors import TRANSIENT, error_code, reply_lost, unconfirmed, unreachable
from lash_core.redis_store.routes import Routes
from lash_core.redis_store.wire import NotSentError, ReplyLostError

PAUSES_MS = (10, 25, 50, 100, 200, 400)
"""Between attempts; the last one repeats. Each is lengthened by up to half: a fleet must not come back in step."""

_OPEN = object()
_ASKING = ("ASKING",)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a list of commands is carried.

    Attributes:
        deadline_ms: on this machine's own clock; no attempt begins after it.
        where: the deployment's URL without secrets.
        writes: something may be written, so a lost reply leaves the outcome open.
        repeat_lost: repeat a command whose reply was lost.
        master_moves: READONLY is an answer of a former master, and not the end.
        confirm: what follows the commands on each node.
        raw: bytes instead of text.
    """

    deadline_ms: float
    where: str
    writes: bool
    repeat_lost: bool
    master_moves: bool
    confirm: Confirmation | None = None
    raw: bool = False


def pause_seconds(turn: int) -> float:
    """How long to wait before attempt ``turn`` + 2."""
    return PAUSES_MS[min(turn, len(PAUSES_MS) - 1)] * (1 + random.random() / 2) / 1_000  # noqa: S311 - no secret


class Dispatch:
    """One list of commands on its way. Used once."""

    def __init__(self, routes: Routes, commands: Sequence[Command], manner: Manner) -> None:
        self._routes = routes
        self._commands = commands
        self._manner = manner
        self._replies: list[Any] = [_OPEN] * len(commands)
        self._asks: dict[int, Node] = {}
        self._asked_password_again: set[Node] = set()
        self._failure = ""
        self._refusal: LashError | None = None
        self._stale: tuple[Node | None, str] | None = None
        self._lost = False
        self._done_any = False

    async def run(self) -> list[Any]:
        """Replies in the order of the commands, error replies in place.

        Raises:
            StoreUnreachableError: the deadline passed and nothing was written.
            OutcomeUnknownError: a reply was lost, or a write was not confirmed.
            StoreRefusedError: a server refuses this client altogether.
        """
        still = list(range(len(self._commands)))
        turn = 0
        while True:
            self._stale = None
            await self._round(still)
            still = [index for index in still if self._replies[index] is _OPEN]
            if not still:
                return self._replies
            if self._refusal is not None:
                raise self._refusal if not self._may_have_written() else self._unknown(str(self._refusal))
            if self._lost and not self._manner.repeat_lost:
                raise self._unknown(self._failure) if self._manner.writes else self._unreached()
            pause = pause_seconds(turn)
            turn += 1
            if own_time_ms() + pause * 1_000 > self._manner.deadline_ms:
                raise self._unknown(self._failure) if self._may_have_written() else self._unreached()
            await self._learn()
            await asyncio.sleep(pause)

    # --- one attempt -----------------------------------------------------------------------------

    async def _round(self, indexes: list[int]) -> None:
        groups: dict[Node, list[int]] = {}
        for index in indexes:
            try:
                node = self._asks.get(index) or self._routes.node_of(self._commands[index].key)
            except NotSentError as error:
                self._not_sent(None, error)
            else:
                groups.setdefault(node, []).append(index)
        if len(groups) == 1:
            ((node, group),) = groups.items()
            await self._send(node, group)
        elif groups:
            await asyncio.gather(*(self._send(node, group) for node, group in groups.items()))

    async def _send(self, node: Node, group: list[int]) -> None:
        parts: list[tuple[str | bytes | int | float, ...]] = []
        for index in group:
            if index in self._asks:
                parts.append(_ASKING)
            parts.append(self._commands[index].args)
        confirm = self._manner.confirm
        try:
            if confirm is None:
                replies = await node.exchange(pack_commands(parts), len(parts), raw=self._manner.raw)
            else:
                # The publish is a write of this connection, so that the confirmation also covers what an earlier
                # attempt on another connection wrote: WAIT and WAITAOF look at the writes of their own connection only.
                parts.append(("SPUBLISH", confirmation_channel(self._commands[group[0]].key), ""))
                parts.append(confirm.command)
                replies = await node.exchange_alone(pack_commands(parts), len(parts))
        except NotSentError as error:
            self._not_sent(node, error)
        except ReplyLostError as error:
            self._take(node, group, error.replies, whole=False)
            self._lost = True
            self._failure = error.reason
            self._stale = (node, error.reason)
        else:
            self._take(node, group, replies, whole=True)
            if confirm is not None:
                self._check_confirmed(confirm, group, replies[-1])

    def _take(self, node: Node, group: list[int], replies: list[Any], *, whole: bool) -> None:
        position = 0
        confirmed = whole or self._manner.confirm is None
        for index in group:
            if self._asks.pop(index, None) is not None:
                position += 1
            if position >= len(replies):
                return
            reply = replies[position]
            position += 1
            if isinstance(reply, ResponseError) and self._passes(node, index, reply):
                continue
            if confirmed:
                self._replies[index] = reply
                self._done_any = self._done_any or not isinstance(reply, Exception)

    def _check_confirmed(self, confirm: Confirmation, group: list[int], reply: Any) -> None:
        answers = [self._replies[index] for index in group]
        wrote = any(answer is not _OPEN and not isinstance(answer, ResponseError) for answer in answers)
        shortfall = confirm.shortfall(reply)
        if wrote and shortfall is not None:
            raise unconfirmed(self._manner.where, shortfall)

    def _passes(self, node: Node, index: int, reply: ResponseError) -> bool:
        """True when the refusal may pass by itself; notes what to do before the next attempt."""
        code = error_code(reply)
        if code == "ASK":
            self._asks[index] = self._routes.node_at(_endpoint_of(reply, node))
        elif code == "MOVED":
            self._stale = self._stale or (None, str(reply))
        elif code == "READONLY":
            if not self._manner.master_moves:
                node.drop("the server is a read-only replica")  # behind one name there may be another server by now
                return False
            self._stale = (node, str(reply))
        elif code == "NOAUTH" and node not in self._asked_password_again:
            self._asked_password_again.add(node)  # credentials that ran out: a new connection brings new ones
            node.drop("the credentials ran out")
        elif code not in TRANSIENT:
            return False
        self._failure = str(reply)
        return True

    def _not_sent(self, node: Node | None, error: NotSentError) -> None:
        self._failure = error.reason
        if error.refusal is not None:
            self._refusal = error.refusal
        else:
            self._stale = (node, error.reason)

    async def _learn(self) -> None:
        if self._stale is None:
            return
        node, reason = self._stale
        try:
            await self._routes.refresh(node, reason)
        except NotSentError as error:
            self._not_sent(None, error)

    # --- ends --------------------------------------------------------------------------------------

    def _may_have_written(self) -> bool:
        return self._manner.writes and (self._lost or self._done_any)

    def _unknown(self, reason: str) -> OutcomeUnknownError:
        return reply_lost(self._manner.where, reason)

    def _unreached(self) -> LashError:
        return unreachable(self._manner.where, self._failure)


def _endpoint_of(reply: ResponseError, node: Node) -> Endpoint:
    """The endpoint in ``ASK <slot> <host>:<port>``; an empty host is that of the node which answered."""
    host, _, port = str(reply).split(" ")[2].rpartition(":")
    own = node.endpoint.host if node.endpoint is not None else "localhost"
    return Endpoint(host if host not in {"", "?"} else own, int(port))
