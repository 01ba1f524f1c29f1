"""Finds the master that sentinels name."""

from __future__ import annotations

from redis.exceptions import ResponseError

from lash_core.errors import StoreRefusedError
from lash_core.redis_store.address import Endpoint, ServerAddress
from lash_core.redis_store.dialer import Dialer
from lash_core.redis_store.node import Resolve
from lash_core.redis_store.redis_errors import refusal
from lash_core.redis_store.routes import asking
from lash_core.redis_store.wire import NotSentError
from lash_core.settings import StoreSettings


def master_resolver(address: ServerAddress, dialer: Dialer, settings: StoreSettings) -> Resolve:
    """Asks the sentinels in turn, the one that answered last first."""
    order = list(address.endpoints)

    async def resolve() -> Endpoint:
        reasons: list[str] = []
        for sentinel in tuple(order):
            try:
                master = await _ask(sentinel, address, dialer, settings)
            except NotSentError as error:
                if error.refusal is not None:
                    raise
                reasons.append(error.reason)
                continue
            if master is None:
                reasons.append(f"{sentinel} does not know master {address.master!r}")
                continue
            order.remove(sentinel)
            order.insert(0, sentinel)
            return master
        known = all("does not know" in reason for reason in reasons)
        text = f"no sentinel names the master {address.master!r}: " + "; ".join(reasons)
        unknown = (
            StoreRefusedError(f"{address.where}: {text}", field="redis_url", value=address.where) if known else None
        )
        raise NotSentError(text, unknown)

    return resolve


async def _ask(sentinel: Endpoint, address: ServerAddress, dialer: Dialer, settings: StoreSettings) -> Endpoint | None:
    wire = await dialer.dial_sentinel(sentinel)
    try:
        (reply,) = await asking(wire, settings)([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)])
    finally:
        wire.close()
    if isinstance(reply, ResponseError):
        raise NotSentError(str(reply), refusal(reply, address.where))
    return None if reply is None else Endpoint(str(reply[0]), int(reply[1]))
