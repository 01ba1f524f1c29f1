"""The chat agent's model: ``python -m examples.chat.model``. No weights, no network, no extras.

It speaks the protocol of OpenAI-compatible servers and answers by rules. Its answers depend on the conversation and on
nothing else: a turn that is redone gets the same ones, and the number in each answer counts what was said before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from typing import Any

from lash_core.testing.model_replies import ModelAsk, ModelReply, ToolAsk, text_of
from lash_core.testing.model_server import ModelServer

PORT = 8011
NEWS = "Wake input:"
"""In the message by which a process wakes its session."""
_WORDS_OF_TOOLS = (
    ("price", re.compile(r"(?:price of|cost of|much (?:is|are)) (?:an? |the )?(\w+)")),
    ("stock", re.compile(r"(?:how many|stock of|have you any) (?:an? |the )?(\w+)")),
    ("order", re.compile(r"order (?:(\d+) )?(?:an? |the )?(\w+)")),
)
"""What a customer says, and the tool that answers it."""


def answer(ask: ModelAsk, delay_ms: int = 0) -> ModelReply:
    """Ask for the tools that questions need; once their results are there, say them, and what else has come in."""
    turn = _since_last_answer(ask.messages)
    asked = [index for index, entry in enumerate(turn) if entry["role"] == "assistant"]
    said = [(index, text_of(entry)) for index, entry in enumerate(turn) if entry["role"] == "user"]
    questions = sum(entry["role"] == "user" for entry in ask.messages)
    if not questions:
        return ModelReply("Good morning. What may it be?", piece_delay_ms=delay_ms)
    # What came while tools were at work has not been looked into yet.
    open_texts = [text for index, text in said if not asked or index > asked[-1]]
    tools = tuple(_tools_for(" ".join(open_texts), questions, ask.tool_names))
    if tools:
        return ModelReply("Let me see. ", tools=tools, piece_delay_ms=delay_ms)
    found = [_told(ask.messages, entry) for entry in turn if entry["role"] == "tool"]
    if any(NEWS in text for text in open_texts):
        # Who has heard of the delivery need not hear of the order.
        found = [text for text in found if ": ordered, " not in text]
    found += [_small_talk(text) for text in open_texts]
    return ModelReply(f"[{questions}] {' '.join(found)}", piece_delay_ms=delay_ms)


def _since_last_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came since the clerk last said something for good; asking for tools is no answer."""
    ends = [
        index for index, entry in enumerate(messages) if entry["role"] == "assistant" and not entry.get("tool_calls")
    ]
    return messages[ends[-1] + 1 :] if ends else messages


def _tools_for(said: str, questions: int, offered: tuple[str, ...]) -> list[ToolAsk]:
    asks: list[ToolAsk] = []
    for name, pattern in _WORDS_OF_TOOLS:
        for match in pattern.finditer(said.lower()):
            arguments: dict[str, Any] = {"item": match.groups()[-1]}
            if name == "order" and match[1]:
                arguments["count"] = int(match[1])
            if name in offered:
                asks.append(ToolAsk(name, json.dumps(arguments), f"call_{questions}_{len(asks)}"))
    return asks


def _told(messages: list[dict[str, Any]], result: dict[str, Any]) -> str:
    calls = [call for entry in messages for call in entry.get("tool_calls") or ()]
    asked = next((call["function"] for call in calls if call["id"] == result["tool_call_id"]), None)
    if asked is None:
        return text_of(result)
    item = json.loads(asked["arguments"]).get("item", "that")
    value = text_of(result)
    if "error" in value:
        return f"I do not know about {item}."
    return {"price": f"A {item} is {value} cents.", "stock": f"{item}: {value}.", "order": f"{item}: {value}."}[
        asked["name"]
    ]


def _small_talk(said: str) -> str:
    _, woken, news = said.partition(NEWS)
    if woken:
        return f"Good news! {news.strip()}"
    return f"You said: {said}" if said else "Noted."


async def serve(port: int, delay_ms: int) -> None:
    """Serve until interrupted."""
    async with ModelServer(lambda ask: answer(ask, delay_ms), port=port, models=("desk-clerk",)) as server:
        sys.stdout.write(f"the model listens at {server.base_url}; Ctrl-C stops\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--delay-ms", type=int, default=20, help="between two words")
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.port, given.delay_ms))
    except KeyboardInterrupt:
        return
    except OSError as error:
        sys.exit(f"port {given.port} cannot be used: {error}")


if __name__ == "__main__":
    main()
