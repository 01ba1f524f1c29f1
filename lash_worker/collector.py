"""Garbage collection of processes that live long and make many small objects."""

from __future__ import annotations

import gc

GC_THRESHOLDS = (10_000, 20, 50)
"""Rows, and events of sessions, come and go by the hundred; with Python's own thresholds a third of the CPU of small
processes went into looking at objects that live as long as the process (``benchmarks/bench_quick.py``)."""


def collect_seldom() -> None:
    """Collect seldom, and leave alone what is there by now: modules, apps. For a process's whole life."""
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
