"""docs/contracts/providers.md says what is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from lash_core.model.model_call import RETRYABLE_KINDS, ProviderFailureKind
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.runtime.turns import model_attachments, model_attempt
from lash_core.testing import model_server_http

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contracts" / "providers.md").read_text()


def test_every_kind_of_failure_is_listed_with_whether_it_is_retried() -> None:
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (yes|no) \|", PAGE))

    assert {kind: "yes" if kind in RETRYABLE_KINDS else "no" for kind in get_args(ProviderFailureKind)} == rows


def test_the_bounds_are_those_of_the_code() -> None:
    policy = ModelRetryPolicy()
    listed: dict[str, int] = {}
    for names, values in re.findall(r"(?m)^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| ([\d,]+(?:, [\d,]+)*) \|", PAGE):
        numbers = [int(value.replace(",", "")) for value in values.split(", ")]
        listed |= dict(zip(re.findall(r"`([a-z_]+)`", names), numbers, strict=True))

    assert policy.model_dump() == listed
    assert model_attempt.STREAMED_CHARACTERS_MAX == 4 * 1024 * 1024
    assert model_attempt.DROP_GRACE_MS == 1_000
    assert model_attachments.REQUEST_BYTES_MAX == 32 * 1024 * 1024
    assert model_server_http.BODY_BYTES_MAX == 16 * 1024 * 1024


def test_what_only_reads_loads_no_model_library() -> None:
    """An app with a provider is imported by every command that names it."""
    code = (
        "import sys, examples.chat.app\n"
        "from lash_core.protocols.providers.pydantic_ai import PydanticAiProvider\n"
        "PydanticAiProvider.openai_compatible('x', 'http://127.0.0.1:1/v1')\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('pydantic_ai', 'openai', 'mcp')))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)

    assert "[]" == found.stdout.strip()
