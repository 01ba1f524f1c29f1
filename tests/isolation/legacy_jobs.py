"""A module as RQ users have it: functions that know nothing of lash."""

from __future__ import annotations

import asyncio
from typing import Any

from rq import get_current_job


def nightly_report(month: str, *, copies: int = 1) -> dict[str, Any]:
    job = get_current_job()
    assert job is not None
    job.meta["progress"] = 100
    job.save_meta()
    return {"month": month, "copies": copies, "function": job.func_name, "args": list(job.args), "kwargs": job.kwargs}


def explode(*_: Any) -> None:
    raise AssertionError("a callback was called")


async def fetch(url: str) -> str:
    await asyncio.sleep(0)
    return url
