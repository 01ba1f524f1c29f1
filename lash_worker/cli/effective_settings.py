"""The settings of one call: the environment with the call's options laid over it."""

from __future__ import annotations

import os

from lash_core.settings import Settings, load_settings
from lash_worker.cli.invocation import Invocation

GIVE_UP_MS = 4_500
"""With the start of the interpreter, a person at a prompt waits 5 s for a server (DESIGN 6)."""


def settings_of(invocation: Invocation) -> Settings:
    """The settings of a command that runs for long. Raises: SettingsError."""
    return load_settings({**os.environ, **invocation.environment()})


def prompt_settings(invocation: Invocation) -> Settings:
    """The settings of a short command: it gives up early where a worker would go on trying. Raises: SettingsError."""
    settings = settings_of(invocation)
    store = settings.store
    # A little less, so that the store's own error, which says more, comes before the general one.
    bound_ms = GIVE_UP_MS - 500
    bounded = {
        "connect_timeout_ms": min(store.connect_timeout_ms, bound_ms),
        "call_timeout_ms": min(store.call_timeout_ms, bound_ms),
        "retry_deadline_ms": min(store.retry_deadline_ms, bound_ms),
    }
    return settings.model_copy(update={"store": store.model_copy(update=bounded)})
