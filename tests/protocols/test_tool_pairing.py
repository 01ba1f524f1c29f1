"""Every tool call of a request has its result, every result its call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lash_core.model.message import Message, MessagePart, Role, TextPart, ToolCallPart, ToolResultPart
from lash_core.protocols.providers.tool_pairing import INTERRUPTED, paired

CALL = Message("assistant", (ToolCallPart("c1", "search", {}), ToolCallPart("c2", "search", {})))
MISSING = {"type": "cancelled", "message": INTERRUPTED}


def result(call_id: str) -> ToolResultPart:
    return ToolResultPart(call_id, "search", {"type": "success", "value": 1})


def test_a_whole_conversation_stays_as_it_is() -> None:
    messages = (Message.user("hi"), CALL, Message("user", (result("c1"), result("c2"))), Message.assistant("done"))

    assert messages == paired(messages)


def test_a_call_without_a_result_gets_one() -> None:
    end = Message.assistant("done")
    told = paired([CALL, Message("user", (result("c1"),)), end])

    assert (
        CALL,
        Message("user", (result("c1"),)),
        Message("user", (ToolResultPart("c2", "search", MISSING),)),
        end,
    ) == told


def test_a_call_at_the_end_gets_one_too() -> None:
    assert 2 == len(paired([CALL])[-1].parts)


def test_a_result_without_a_call_becomes_text() -> None:
    told = paired([Message("user", (result("c9"),))])

    assert 'Result of an earlier call of `search`: {"type":"success","value":1}' == told[0].text


def test_a_second_result_of_a_call_becomes_text() -> None:
    told = paired([CALL, Message("user", (result("c1"), result("c2"), result("c1")))])

    assert isinstance(told[1].parts[2], TextPart)


ids = st.sampled_from(["a", "b", "c"])
parts = st.one_of(
    st.text(max_size=3).map(TextPart),
    ids.map(lambda call_id: ToolCallPart(call_id, "t")),
    ids.map(lambda call_id: ToolResultPart(call_id, "t", None)),
)
roles: st.SearchStrategy[Role] = st.sampled_from(["user", "assistant", "system"])
messages = st.tuples(roles, st.lists(parts, max_size=4)).map(lambda drawn: Message(drawn[0], tuple(drawn[1])))


def assistant_without_results(message: Message) -> Message:
    """A model never answers with results of tools."""
    kept: list[MessagePart] = [part for part in message.parts if not isinstance(part, ToolResultPart)]
    unique = {part.call_id: part for part in kept if isinstance(part, ToolCallPart)}
    return message.model_copy(update={"parts": (*(p for p in kept if isinstance(p, TextPart)), *unique.values())})


@given(st.lists(messages, max_size=6))
def test_whatever_the_history_is_every_call_is_answered_before_the_next_answer(history: list[Message]) -> None:
    history = [assistant_without_results(m) if m.role == "assistant" else m for m in history]
    open_calls: set[str] = set()
    for message in paired(history):
        if message.role == "assistant":
            assert not open_calls
            open_calls = {call.call_id for call in message.tool_calls}
            continue
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                assert part.call_id in open_calls
                open_calls.discard(part.call_id)
    assert not open_calls
