"""What all requests of one web app share."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache

from lash_core.client import LashClient
from lash_core.clock import Clock, SystemClock
from lash_core.memory_store.login_tickets import MemoryLoginTickets
from lash_core.store.client_stores import ClientStores
from lash_core.store.login_tickets import LoginTickets
from lash_core.store.promise_store import SigningSecrets
from lash_core.web.config import WebConfig
from lash_core.web.credentials import Credentials
from lash_core.web.watchers import Watchers

Lash = LashClient | ClientStores
"""What the app asks: a client, or the stores of a server."""


class WebState:
    """One app: its config, whom it asks, who watches.

    Args:
        source: a client, stores, or what answers one of them when a request comes.
        config: who may ask.
        clock: of logins; tickets go by the store's.
    """

    def __init__(self, source: Lash | Callable[[], Lash], config: WebConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.watchers = Watchers(config.limits)
        self._source = source
        self._client: LashClient | None = None
        self._signing: SigningSecrets | None = None
        self._credentials: Credentials | None = None
        self._local_tickets = MemoryLoginTickets(self.clock)

    @property
    def client(self) -> LashClient:
        """The client of this request."""
        found = self._source() if callable(self._source) else self._source
        if isinstance(found, LashClient):
            return found
        if self._client is None or self._client.stores is not found:
            self._client = LashClient(found)
        return self._client

    @property
    def credentials(self) -> Credentials:
        """What signs cookies and tickets: the namespace's secret, so that all serving processes agree.

        A role that may not read it signs with a secret of this process: its cookies and tickets are good here only.
        """
        signing = self.client.stores.promises.signing_secrets() or _process_secret()
        if self._credentials is None or self._signing != signing:
            self._signing, self._credentials = signing, Credentials(signing, self.config.token)
        return self._credentials

    @property
    def _signs_alone(self) -> bool:
        return self.client.stores.promises.signing_secrets() is None

    @property
    def tickets(self) -> LoginTickets:
        """Where tickets are redeemed and logins end: in the store, or in this process where it signs by itself."""
        return self._local_tickets if self._signs_alone else self.client.stores.login_tickets

    async def ticket_time_ms(self) -> int:
        """The clock that tickets go by. Raises: store errors."""
        return self.clock.now_ms() if self._signs_alone else await self.client.stores.process_registry.server_time_ms()


@cache
def _process_secret() -> SigningSecrets:
    """A secret that nobody else has and that is gone with this process."""
    return SigningSecrets(secrets.token_bytes(32))
