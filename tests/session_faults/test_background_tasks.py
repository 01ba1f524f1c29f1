"""Background tasks of a program that is killed: the next one that has the session's lease finds them."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from lash_core.model.background_task import BackgroundTaskState
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.turn_input import TurnInput
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.servers import ValkeyServer
from tests.session_faults.dying_tasks import POLICY, built

pytestmark = pytest.mark.faults

SESSION, NAMESPACE = "chat/1", "tasks"


async def test_tasks_of_a_killed_program_are_taken_over_once() -> None:
    """The external one goes on, the managed one has failed with evidence, the hidden one left no trace."""
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, namespace=NAMESPACE) as stores:
            await stores.session_store_factory.create_store(SessionStoreCreateRequest(SESSION, policy=POLICY))
            arguments = ("-m", "tests.session_faults.dying_tasks", server.url, NAMESPACE, SESSION)
            victim = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
            assert victim.stdout is not None
            assert b"ready\n" == await asyncio.wait_for(victim.stdout.readline(), 30)
            victim.send_signal(signal.SIGKILL)
            await victim.wait()

            heir = await built(stores, SESSION)
            assert () == await heir.background_tasks.list_background_tasks(SESSION)
            await heir.stream_turn(TurnInput.text("and now?"))
            found = {record.id: record for record in await heir.background_tasks.list_background_tasks(SESSION)}
            assert {"managed", "external"} == found.keys()
            assert BackgroundTaskState.RUNNING is found["external"].state
            failure = found["managed"].failure
            assert BackgroundTaskState.FAILED is found["managed"].state
            assert failure is not None
            assert "task_owner_lost" == failure.code
            assert failure.evidence["owner_generation"] < failure.evidence["adopter_generation"]
            await heir.stream_turn(TurnInput.text("and now?"))
            again = {record.id: record for record in await heir.background_tasks.list_background_tasks(SESSION)}
            assert found["managed"] == again["managed"]
            heir.close()
