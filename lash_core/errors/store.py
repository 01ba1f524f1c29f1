"""What a store answers instead of doing it."""

from __future__ import annotations

from lash_core.errors.base import NotDoneError


class StoreUnreachableError(NotDoneError):
    """The store could not be reached before the deadline; nothing was sent, or only reads were."""

    code = "store_unreachable"


class StoreClosedError(StoreUnreachableError):
    """This very program closed its stores or its client: who waits for a store that is away need not wait for it."""


class StoreRefusedError(NotDoneError):
    """The store answered with a refusal: read-only, full, wrong password, wrong version, evicting, other layout."""

    code = "store_refused"


class StoreFullError(StoreRefusedError):
    """The server is out of memory (``OOM``); reads, completions and prune still work."""

    code = "store_full"


class StoreReadOnlyError(StoreRefusedError):
    """The server is a read-only replica or lost its quorum of replicas."""

    code = "store_read_only"


class ClaimsPausedError(StoreRefusedError):
    """A partition was promoted or restarted: no new leases until ``until_ms`` (DESIGN 3.3 rule 5)."""

    code = "claims_paused"

    def __init__(self, process_id: str | None, until_ms: int, *, session_id: str | None = None) -> None:
        subject = f"process `{process_id}`" if session_id is None else f"session `{session_id}`"
        super().__init__(
            f"no lease of {subject} is given before {until_ms}: grace after a failover or restart",
            field="until_ms",
            value=until_ms,
            process_id=process_id,
        )
        self.until_ms = until_ms
        self.session_id = session_id


class StoreAuthError(StoreRefusedError):
    """Wrong password, unknown user or missing permission."""

    code = "store_auth"


class StoreVersionError(StoreRefusedError):
    """The server is older than Redis 7.0 / Valkey 7.2."""

    code = "store_version"


class StoreLayoutError(StoreRefusedError):
    """The namespace has another layout than this client asks for or understands."""

    code = "store_layout"
