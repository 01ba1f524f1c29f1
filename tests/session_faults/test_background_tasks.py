"""Background tasks of a program that is killed: the next one that has the session's lease finds them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from lash_core.model.background_task import BackgroundTaskState
from lash_core.model.message import ToolResultPart
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.model.turn_input import TurnInput
from lash_core.redis_store.stores import RedisStores
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from tests.faults.fleet import fleet
from tests.session_faults.agent_app import calls
from tests.session_faults.dying_tasks import POLICY, built
from tests.session_faults.scenes import Agents

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


async def _listed(agents: Agents, text: str) -> str:
    """What the tool answered at the end of a turn over this text."""
    sent = await agents.session().send(text)
    await agents.answer(sent)
    parts = [part for message in await agents.session().history() for part in message.parts]
    return str([part for part in parts if isinstance(part, ToolResultPart)][-1].output["value"])


async def test_a_workers_tasks_go_on_over_its_turns_and_are_lost_with_it(tmp_path: Path) -> None:
    """They run while the session comes back to it; a peer says once that they are lost, and runs none again."""
    app = ("--app", "tests.session_faults.tasks_app:app")
    with ValkeyServer() as server:
        async with fleet(server.url, *app, environ={"AGENT_FOLDER": str(tmp_path)}) as made:
            agents = Agents(made, tmp_path)
            victim = await agents.add("victim")
            assert "managed-a running, external-a running" == await _listed(agents, "tool:begin-a")
            assert "managed-a running, external-a running" == await _listed(agents, "tool:list")
            agents.go("a")
            expected = "managed-a running, external-a running, managed-b running, external-b running"
            assert expected.replace("managed-a running", "managed-a completed") == await _ended(agents, "tool:begin-b")
            await agents.until_called("began-b")
            victim.kill()
            await agents.add("peer")
            lost = expected.replace("managed-a running", "managed-a completed").replace(
                "managed-b running", "managed-b task_owner_lost"
            )
            assert lost == await _listed(agents, "tool:list")
            assert lost == await _listed(agents, "tool:list")
            assert (1, 1) == (len(calls(tmp_path, "began-a")), len(calls(tmp_path, "began-b")))


async def _ended(agents: Agents, text: str) -> str:
    """As ``_listed``, once the end of the first task is stored."""

    async def has_ended() -> bool:
        rows = await agents.fleet.stores.background_tasks.read_background_tasks(agents.session().session_id)
        return any(row.row.record.state is BackgroundTaskState.COMPLETED for row in rows)

    await eventually(has_ended)
    return await _listed(agents, text)
