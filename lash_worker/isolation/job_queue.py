"""The lash worker's end of the RQ queue. Its calls block for a round trip; ``Horses`` makes them in a thread."""

from __future__ import annotations

import math
import secrets
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from lash_core.errors import SettingsError, StoreUnreachableError
from lash_core.redis_store.redact import redact_url
from lash_worker.isolation.faces import RqCall
from lash_worker.isolation.order import ORDER_META, HorseOrder

BACKSTOP_S = 30
"""RQ ends a horse this long after its time: only when the lash worker is too frozen to have done it."""
QUEUED_S_MAX = 120
"""A job that no runner took is forgotten by RQ after this; lash has given it up long before."""
CALL_SECONDS_MAX = 5.0
_FUNCTION = "lash_worker.isolation.horse.ended"
"""What RQ shows as the function of an app's own job; the horse takes it from the app."""


class JobQueue:
    """One queue of one lash worker, with a name of its own: several workers may share a server.

    Args:
        url: any URL that redis-py knows for one server.

    Raises:
        SettingsError: it knows no such URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"lash-{secrets.token_hex(8)}"
        self._redis = _client(url)
        self._queue = Queue(self.name, connection=self._redis, serializer=JSONSerializer)

    def check(self, fleet_run_id: str) -> None:
        """Refuse the fleet's own server.

        Raises:
            SettingsError: it is the fleet's. StoreUnreachableError: it does not answer.
        """
        try:
            facts: Any = self._redis.info("server")
        except (redis.RedisError, OSError) as error:
            raise StoreUnreachableError(
                f"LASH_ISOLATION_REDIS_URL {redact_url(self.url)} does not answer: {error}",
                field="LASH_ISOLATION_REDIS_URL",
            ) from error
        if facts.get("run_id") == fleet_run_id:
            raise SettingsError(
                f"LASH_ISOLATION_REDIS_URL {redact_url(self.url)} is the fleet's own server. RQ spends 62 commands a "
                "job; give work-horses another server, or leave the variable out for a private one",
                field="LASH_ISOLATION_REDIS_URL",
                value=redact_url(self.url),
            )

    def put(self, order: HorseOrder, rq_call: RqCall | None) -> None:
        """Put a job at the end, as what RQ shows when the function is one of RQ's. Raises: redis.RedisError."""
        function, args, kwargs = rq_call or (_FUNCTION, [], {})
        self._queue.enqueue_call(
            function,
            args=args,
            kwargs=kwargs,
            timeout=-1 if order.timeout_ms is None else math.ceil(order.timeout_ms / 1_000) + BACKSTOP_S,
            result_ttl=0,
            failure_ttl=60,
            ttl=QUEUED_S_MAX,
            description=order.kind,
            job_id=order.job_id,
            meta={ORDER_META: order.to_json_value()},
        )

    def take_back(self, job_id: str) -> bool:
        """Remove a job that no runner took. Raises: redis.RedisError."""
        removed: Any = self._redis.lrem(self._queue.key, 1, job_id)
        return bool(removed)

    def close(self) -> None:
        """Forget the queue and its jobs, as far as the server answers. May be called twice."""
        try:
            self._queue.delete(delete_jobs=True)
        except (redis.RedisError, OSError):
            return
        finally:
            self._redis.close()


def _client(url: str) -> redis.Redis:
    try:
        # One more try at once: a run that finds no queue is tried again by its worker.
        client = redis.Redis.from_url(
            url,
            socket_timeout=CALL_SECONDS_MAX,
            socket_connect_timeout=CALL_SECONDS_MAX,
            retry=Retry(NoBackoff(), 1),
        )
        # A parameter that no connection takes is noticed when one is made; making one connects nowhere.
        client.connection_pool.make_connection()
    except (ValueError, TypeError):
        # The cause is left out: it may quote a piece of the password. So may a text that is no URL at all.
        shown = redact_url(url) if "://" in url else "***"
        raise SettingsError(
            f"LASH_ISOLATION_REDIS_URL {shown} is no URL of a single server: redis://, rediss:// or unix://, a numeric "
            "port, no unknown parameters",
            field="LASH_ISOLATION_REDIS_URL",
            value=shown,
        ) from None
    return client
