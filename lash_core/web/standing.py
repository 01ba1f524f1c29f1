"""Who opened a stream, asked again while it lasts (``docs/contracts/web.md`` 4)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from lash_core.clock import own_time_ms
from lash_core.web.doors import admit, is_by_ticket, login_of
from lash_core.web.refusals import LoginRequiredError, NotPermittedError
from lash_core.web.web_state import WebState

_NOT_NOW = (408, 425, 429)
"""What a callback says that is asked too often: no answer."""


class Standing:
    """What a stream was opened with: the request, which keeps its headers and cookies, or a ticket.

    Args:
        request: that opened it, and was admitted.
        state: of the app.
        session_id: that is watched.
    """

    def __init__(self, request: Request, state: WebState, session_id: str) -> None:
        self._request = request
        self._state = state
        self._session_id = session_id
        self._opened_ms = own_time_ms()
        self._by_ticket = is_by_ticket(request, "watch")
        login = None if self._by_ticket else login_of(request, state)
        self.login_id = None if login is None else login.login_id

    @property
    def may_change(self) -> bool:
        """Whether there is anything to ask: a bearer's token is good for as long as this app is."""
        return self._by_ticket or self.login_id is not None or self._state.config.authorize is not None

    async def check(self) -> None:
        """Ask again what was asked when the stream began.

        Raises:
            LoginRequiredError, NotPermittedError: it is over. Anything else: nobody can say.
        """
        if self._by_ticket:
            lasts_ms = self._state.config.limits.ticket_stream_ms
            if own_time_ms() - self._opened_ms >= lasts_ms:
                raise LoginRequiredError(
                    f"a ticket opens a stream for {lasts_ms} ms: take another one and go on behind the last cursor",
                    field="ticket",
                    limit=lasts_ms,
                )
            return
        try:
            await admit(self._request, self._state, "watch", self._session_id)
        except HTTPException as refusal:
            if refusal.status_code in _NOT_NOW or refusal.status_code >= 500:
                raise
            kind = LoginRequiredError if refusal.status_code == 401 else NotPermittedError
            raise kind(str(refusal.detail)) from refusal
