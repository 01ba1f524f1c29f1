"""What watching a session may answer. A gap is data and not among these (``docs/contracts/observation.md``)."""

from __future__ import annotations

from lash_core.errors.base import InvalidArgumentError, LashError


class LiveReplayStoreError(LashError):
    """The live replay store cannot do what was asked. Turns and commits do not fail for it."""

    code = "live_replay_error"


SessionObservationError = LiveReplayStoreError
"""What watching raises: an error of the cursor or of the replay store."""


class SessionCursorError(LiveReplayStoreError, InvalidArgumentError):
    """The cursor cannot be used; nothing was read."""

    code = "session_cursor_invalid"


class MalformedSessionCursorError(SessionCursorError):
    """The text is no cursor of a session."""

    code = "session_cursor_malformed"

    def __init__(self, message: str, value: str | None = None) -> None:
        super().__init__(f"malformed session cursor: {message}", field="cursor", value=value)


class WrongSessionCursorError(SessionCursorError):
    """The cursor is another session's."""

    code = "session_cursor_wrong_session"

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"session cursor is of session `{actual}`, not of `{expected}`", field="cursor", value=actual)
        self.expected = expected
        self.actual = actual


class LiveReplayFailedError(LiveReplayStoreError):
    """The store behind it failed; the text is its own."""

    code = "live_replay_failed"


class SubscriberLaggedError(LiveReplayStoreError):
    """``missed`` events went by before the subscriber took them. An item of its stream, which goes on behind them."""

    code = "subscriber_lagged"

    def __init__(self, missed: int) -> None:
        super().__init__(f"the subscriber missed {missed} events", value=missed)
        self.missed = missed


class LiveReplayClosedError(LiveReplayStoreError):
    """The store was closed. The last item of a stream."""

    code = "live_replay_closed"

    def __init__(self) -> None:
        super().__init__("the live replay store is closed")
