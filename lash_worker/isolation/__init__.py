"""Work-horses: plain functions, each run in an OS process of its own (``docs/contracts/isolation.md``).

::

    worker (lease, fence, journal, every write)            runner (RQ worker, app preloaded)      horse (one fork a run)
    IsolatedEngine ── Horses ── RQ queue on a private server ──▶ takes the job, forks ──────────▶ the function
                      ▲   └─ control socket: stop, quit ───────▶ SIGTERM, SIGKILL to its group ─▶ CancelledError, end
                      └───── control socket: started, ended ◀─── waitpid ◀───────────────────────┘ outcome as JSON

Only this package imports ``rq`` and ``redis``, and only in the modules that need them: a worker without ``--isolated``
pays nothing.
"""
