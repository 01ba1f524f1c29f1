"""The arq half of ``bench_quick``; runs in a virtual environment of its own because arq wants an older redis-py.

``arq_side.py enqueue URL N`` · ``arq_side.py worker URL`` · ``arq_side.py latency URL N`` · ``arq_side.py left URL``.
Best settings found in a sweep: 100 jobs at once, polls every 10 ms, uvloop off, results kept.
"""

# pyright: basic
from __future__ import annotations

import asyncio
import json
import sys
import time

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

MAX_JOBS = 100
POLL_S = 0.01


def settings(url: str) -> RedisSettings:
    return RedisSettings(unix_socket_path=url.removeprefix("unix://"))


async def noop(_ctx: dict, _params: dict) -> dict:
    return {"ok": True}


async def enqueue(url: str, count: int) -> None:
    pool = await create_pool(settings(url))
    started = time.perf_counter()
    for start in range(0, count, 50):
        await asyncio.gather(*(pool.enqueue_job("noop", {"n": n}) for n in range(start, min(start + 50, count))))
    print(json.dumps({"seconds": time.perf_counter() - started}))
    await pool.aclose()


async def latency(url: str, count: int) -> None:
    pool = await create_pool(settings(url))
    taken: list[float] = []
    for n in range(count):
        started = time.perf_counter()
        job = await pool.enqueue_job("noop", {"n": n})
        assert job is not None
        await job.result(timeout=10, poll_delay=0.005)
        taken.append(time.perf_counter() - started)
    print(json.dumps({"seconds": taken}))
    await pool.aclose()


async def left(url: str) -> None:
    pool = await create_pool(settings(url))
    print(json.dumps({"left": await pool.zcard("arq:queue")}))
    await pool.aclose()


def main() -> None:
    verb, url = sys.argv[1], sys.argv[2]
    if verb == "worker":
        Worker([noop], redis_settings=settings(url), max_jobs=MAX_JOBS, poll_delay=POLL_S).run()
        return
    steps = {"enqueue": enqueue, "latency": latency}
    asyncio.run(left(url) if verb == "left" else steps[verb](url, int(sys.argv[3])))


if __name__ == "__main__":
    main()
