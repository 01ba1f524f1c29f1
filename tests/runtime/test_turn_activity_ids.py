"""Ids of activities: unique in a process, over its threads, and over processes that were forked from it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.turn_activities import new_activity_id, send_turn_activity


def test_threads_of_a_process_share_no_id() -> None:
    def batch(count: int) -> list[str]:
        return [new_activity_id() for _ in range(count)]

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(batch, [500] * 8))

    assert len({one for ids in batches for one in ids}) == 4_000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_goes_on_with_ids_of_its_own() -> None:
    mine = new_activity_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_activity_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 200).decode()
    os.close(reading)
    os.close(writing)

    assert theirs.partition("-")[0] != mine.partition("-")[0]
    assert new_activity_id().partition("-")[0] == mine.partition("-")[0]


async def test_what_is_sent_is_an_activity_like_any_other() -> None:
    heard: list[TurnActivity] = []

    async def hear(activity: TurnActivity) -> None:
        heard.append(activity)

    event = TurnEvent("assistant_prose_delta", {"text": "hi"})
    await send_turn_activity(hear, "c", event)
    await send_turn_activity(hear, "c", event)

    first, second = heard
    assert first == TurnActivity(id=first.id, correlation_id="c", event=event)
    assert TurnActivity.model_validate_json(first.model_dump_json()) == first
    assert first.id != second.id
