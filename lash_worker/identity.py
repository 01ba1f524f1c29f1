"""Who a worker is: a stable id, one incarnation a start, one more part an attempt (decision 3)."""

from __future__ import annotations

import os
import re
import secrets

from lash_core.model.owner import LeaseOwnerIdentity
from lash_worker.liveness import local_liveness


def worker_identity(worker_id: str | None = None) -> LeaseOwnerIdentity:
    """A fresh incarnation; without an id the host's name and the pid make one."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename) or "host"
    return LeaseOwnerIdentity(
        owner_id=worker_id or f"{host}-{os.getpid()}",
        incarnation_id=secrets.token_hex(8),
        liveness=local_liveness(),
    )


def attempt_identity(identity: LeaseOwnerIdentity) -> LeaseOwnerIdentity:
    """An identity for one attempt: a worker's own earlier attempt is another owner to it."""
    return identity.with_incarnation(f"{identity.incarnation_id}:{secrets.token_hex(8)}")
