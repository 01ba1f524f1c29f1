"""docs/contracts/tools.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lash_core.model.chronological_projection import CAPTURED_BYTES_MAX
from lash_core.model.projected_value import PROJECTED, PROJECTIONS_MAX
from lash_core.model.tool_retry import TOOL_ATTEMPTS_MAX, TOOL_BACKOFF_MS_MAX, ToolRetryPolicy
from lash_core.protocols.standard import MAX_TURNS_DEFAULT
from lash_core.protocols.standard_rules import CALL_ID_BYTES_MAX, EMPTY_RESPONSE, MESSAGE_BYTES_MAX
from lash_core.runtime import batch_tool, control_tools
from lash_core.runtime.turns import bounded_call, call_order, tool_attempt, tool_dispatcher
from lash_core.store.runtime_persistence import SESSION_NODE_BYTES_MAX

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "contracts" / "tools.md").read_text().split())
POLICY = ToolRetryPolicy()


@pytest.mark.parametrize(
    "sentence",
    [
        f"at once, {call_order.PARALLEL_MAX} at a time",
        f"over {tool_attempt.OUTPUT_BYTES_MAX // 1024} KB as JSON",
        f"1 to {TOOL_ATTEMPTS_MAX} attempts, {POLICY.backoff_ms} ms doubling to {POLICY.backoff_max_ms // 1_000} s",
        f"own wish counts up to {TOOL_BACKOFF_MS_MAX // 1_000} s",
        f"A tool has {bounded_call.GRACE_MS} ms to end by itself",
        f"twice with {bounded_call.LAST_GRACE_MS} ms each",
        f'{{"{PROJECTED}": "call:<call id>"}}',
        f"{PROJECTIONS_MAX} at most in one call",
        f"the newest {CAPTURED_BYTES_MAX // 1024} KB",
        f"1 to {batch_tool.BATCH_CALLS_MAX} calls",
        f'"{batch_tool.TOO_MANY}"',
        f"a list over {batch_tool.BATCH_LISTED_MAX} is refused",
        f"Entries over {batch_tool.BATCH_RESULT_BYTES_MAX // 1024} KB together",
        f"`{control_tools.FINISH_TOOL}`, `{control_tools.FAIL_TOOL}` and `{control_tools.SWITCH_FRAME_TOOL}`",
        f'"{EMPTY_RESPONSE}"',
        f"at most {CALL_ID_BYTES_MAX} bytes",
        f"Of one answer {tool_dispatcher.ROUND_CALLS_MAX} calls run",
        f"over {tool_dispatcher.ROUND_BYTES_MAX // 1024} KB together, those over their share",
        f"An answer over {MESSAGE_BYTES_MAX // 1024} KB",
        f"ends after {MAX_TURNS_DEFAULT} model calls",
    ],
)
def test_bounds_and_words(sentence: str) -> None:
    assert sentence in PAGE


def test_what_a_turn_appends_fits_a_node() -> None:
    beside = 16 * 1024
    assert MESSAGE_BYTES_MAX + beside < SESSION_NODE_BYTES_MAX
    assert tool_dispatcher.ROUND_BYTES_MAX + 64 * 2 * 1024 < SESSION_NODE_BYTES_MAX


def test_codes_of_failures() -> None:
    codes = set(re.findall(r"\| `(tool_[a-z_]+)` \|", PAGE.partition("## 2 ")[0]))
    assert {
        tool_attempt.TOOL_UNAVAILABLE,
        tool_attempt.ARGS_INVALID,
        tool_attempt.TOOL_FAILED,
        tool_attempt.TOOL_TIMEOUT,
        tool_attempt.OUTPUT_TOO_LARGE,
        tool_attempt.OUTPUT_INVALID,
        tool_attempt.CONTROL_INVALID,
    } == codes


def test_bounds_of_mcp() -> None:
    config = pytest.importorskip("lash_core.mcp.server_config", reason="THE EXTRA [mcp] IS NOT INSTALLED")
    forms = pytest.importorskip("lash_core.mcp.tool_forms")
    link = pytest.importorskip("lash_core.mcp.link")
    timings = config.McpTimings()
    for sentence in (
        f"made again after {timings.reconnect_min_ms / 1_000} s doubling to {timings.reconnect_max_ms // 1_000} s",
        f"first try to connect, {timings.connect_timeout_ms // 1_000} s at most",
        f"{forms.NAME_CHARACTERS_MAX} at most",
        f"{config.TOOLS_MAX} tools a server, {link.PAGES_MAX} pages",
        f"cut at {forms.DESCRIPTION_CHARACTERS_MAX:,} characters",
        f"every {timings.refresh_ms // 60_000} minutes",
        f"not connected within {timings.connect_timeout_ms // 1_000} s",
        f"no answer within {timings.call_timeout_ms // 1_000} s",
    ):
        assert sentence in PAGE
