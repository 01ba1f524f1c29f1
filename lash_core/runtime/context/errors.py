"""Which errors become replies of a context, and which are for the worker."""

from __future__ import annotations

from lash_core.errors import LashError, RuntimeFailure
from lash_core.model.tool_invocation import ToolInvocationReply
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.store.effect_host import ScopedEffects


def text_for_code(error: LashError) -> str:
    """The error's text; the same whether it was raised just now or comes from a journal."""
    return error.detail if isinstance(error, RuntimeFailure) else error.message


def error_reply(error: LashError, effects: ScopedEffects, prefix: str = "") -> ToolInvocationReply:
    """The reply of a failed operation: its text after ``prefix``.

    Raises:
        ``error`` itself, when it says nothing about the operation: the lease is lost, the store fails, or the journal
        was written for another program. Code that reads replies must not go on over these.
    """
    if isinstance(error, STORE_ERRORS) or getattr(effects, "mismatch", None) is not None:
        raise error
    return ToolInvocationReply.error(f"{prefix}{text_for_code(error)}")
