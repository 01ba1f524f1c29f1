"""Who a worker is: a stable id, and a fresh incarnation with each start."""

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
