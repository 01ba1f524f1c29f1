"""The comparison of ``examples/chat/storm.py``: ``make storm`` runs the storm itself, which takes a minute or more."""

from __future__ import annotations

from collections import Counter

import pytest

from examples.chat.storm import Talk, compare

CALM = Talk(
    {"anna": ["user: hello", "assistant: hi"]}, model_calls=2, tool_calls=Counter({("price", "anna 1", "mug"): 1})
)


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (Talk({"anna": ["user: hello"]}, 2, CALM.tool_calls), "its history has 1 messages, it must have 2"),
        (Talk({"anna": ["user: hello", "assistant: ho"]}, 2, CALM.tool_calls), "message 1 is 'assistant: ho'"),
        (Talk(CALM.histories, 9, CALM.tool_calls, kills=1), "7 model calls more than in the calm"),
        (Talk(CALM.histories, 2, Counter({("price", "anna 1", "mug"): 9}), kills=1), "8 tool calls were repeated"),
        (Talk(CALM.histories, 2, Counter()), "other tools were called"),
        (Talk(CALM.histories, 2, CALM.tool_calls, (2, 2)), "2 orders were delivered, it must be 0"),
        (Talk(CALM.histories, 2, CALM.tool_calls, wrong=["no answer"]), "no answer"),
    ],
)
def test_the_comparison_sees_what_is_wrong(seen: Talk, fault: str) -> None:
    """Else the storm would prove nothing."""
    assert fault in "\n".join(compare(seen, CALM, 2))
    assert [] == compare(CALM, CALM, 2)
