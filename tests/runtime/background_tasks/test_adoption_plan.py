"""How the plan of an adoption is made: by names, whatever the number of rows."""

from __future__ import annotations

import pytest

from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import BackgroundTaskState, CancelPolicy, ClosePolicy
from lash_core.runtime.background.task_adoption import plan_adoption
from lash_core.store.background_task_store import BackgroundTaskRow, StoredTask
from lash_core.testing.conformance.background_tasks.arrange import spec


def _row(scope: str, task_id: str, revision: int) -> StoredTask:
    policies = (CancelPolicy.COOPERATIVE, ClosePolicy.KEEP)
    record = rules.new_record(
        spec(task_id), "s", BackgroundTaskState.RUNNING, 1, cancel_policy=policies[0], close_policy=policies[1]
    )
    return StoredTask(f"{scope}:s", BackgroundTaskRow(record=record, managed=False), revision, revision)


def test_rows_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing each with each took seconds of the event loop for a thousand rows. The older of one id is dropped."""

    def compared(_one: object, _other: object) -> bool:
        raise AssertionError("rows are told apart by their names")

    monkeypatch.setattr(StoredTask, "__eq__", compared)
    rows = [_row("dead", "a", 1), _row("older", "b", 2), _row("dead", "b", 3)]
    plan = plan_adoption(rows, "heir:s", 5, runs_on=lambda _task: False, now_ms=9)
    assert ["a", "b"] == [task.row.record.id for task in plan.adopted]
    (dropped,) = plan.dropped
    assert dropped is rows[1]
    assert ["heir:s"] * 2 + ["dead:s", "older:s", "dead:s"] == [swap.scope_key for swap in plan.swaps]
