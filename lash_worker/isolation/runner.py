"""The runner: an RQ worker beside the lash worker that forks one horse a job (``-m lash_worker.isolation.runner FD``).

Its apps are imported before it forks, so a horse starts in milliseconds. FD is a socket to the lash worker: the first
line from there is the configuration (a URL may hold a password, so nothing stands on the command line), later ones stop
the horse; the lines to there say what started and how it ended. When the socket closes, the lash worker is gone, and
everything here goes too.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker.base import WorkerStatus

from lash_core.errors import LashError
from lash_worker.app import App, load_app
from lash_worker.cli.logs import start_logging
from lash_worker.isolation.declared import RqSignature
from lash_worker.isolation.horse import STABLE, HorseJob
from lash_worker.isolation.process_group import die_with_parent, signal_group

if TYPE_CHECKING:
    from resource import struct_rusage

STORE_TROUBLE_PAUSE_S = 1.0
"""Between two looks at a horse while RQ's Redis is away; the horse itself needs none."""

_log = logging.getLogger("lash.runner")


class Runner(Worker):
    """RQ's fork worker that reports by socket, is stopped by socket, and outlives trouble of its own Redis.

    Args:
        link: to the lash worker.
        queue: the one queue of this lash worker.
        connection: its server.
        faults: kind → why its RQ function cannot be imported; told with the first line.
    """

    job_class = HorseJob

    def __init__(self, link: socket.socket, queue: Queue, connection: redis.Redis, faults: dict[str, str]) -> None:
        super().__init__([queue], connection=connection, serializer=JSONSerializer, log_job_description=False)
        self.log_result_lifespan = False
        self._link = link
        self._faults = faults
        # Reentrant: a signal handler of the main thread may end everything while that thread holds it.
        self._guard = threading.RLock()
        self._pid = 0
        self._lash_job = ""
        self._outcome: IO[bytes] | None = None

    # -- what the lash worker asks for ----------------------------------------------------------------

    def listen(self, lines: Iterable[str]) -> None:
        """Obey until the socket closes or a quit comes, then end everything. Runs in a thread of its own."""
        # Signals are the main thread's, which can block them where it must not be interrupted.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with suppress(OSError, ValueError):
            for line in lines:
                order: dict[str, Any] = json.loads(line)
                if "quit" in order:
                    with suppress(redis.RedisError, OSError):
                        self.register_death()
                    self.end(0)
                self._stop_horse(str(order.get("stop")), signal.SIGKILL if order.get("kill") else signal.SIGTERM)
        self.end(1)

    def _stop_horse(self, job_id: str, number: signal.Signals) -> None:
        with self._guard:
            # Under the guard no horse is reaped, so its id cannot have become somebody else's.
            if self._pid and self._lash_job == job_id:
                signal_group(self._pid, number)

    def end(self, code: int) -> None:
        """End this process at once, its horse with it."""
        with self._guard:
            if self._pid:
                signal_group(self._pid, signal.SIGKILL)
            os._exit(code)

    def on_orphaned(self, number: int, frame: object) -> None:
        """The kernel says that the lash worker has ended."""
        del number, frame
        self.end(1)

    def _tell(self, **facts: Any) -> None:
        try:
            self._link.sendall(json.dumps(facts).encode() + b"\n")
        except OSError:
            self.end(1)

    # -- RQ's loop --------------------------------------------------------------------------------------

    def bootstrap(self, *_: Any, **__: Any) -> None:
        """Register and say so. No log handlers and no command channel of RQ's: both are the lash worker's."""
        self.register_birth()
        self.set_state(WorkerStatus.STARTED)
        self._tell(ready=os.getpid(), faults=self._faults)

    def _install_signal_handlers(self) -> None:
        """The lash worker alone ends runners; a SIGTERM to its whole group must not reach running work."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    # -- one horse --------------------------------------------------------------------------------------

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Fork, into a process group of its own, and say so."""
        self._outcome = TemporaryFile()  # noqa: SIM115 - closed when the horse has ended
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        parent = os.getpid()
        with self._guard:
            pid = os.fork()
            if pid == 0:
                self._be_horse(job, queue, parent)
            with suppress(OSError):
                os.setpgid(pid, pid)  # by whoever comes first: the group must be there before the first signal
            self._pid, self._lash_job = pid, job.id
        self._horse_pid = pid
        self._tell(started=job.id, pid=pid)

    def _be_horse(self, job: Job, queue: Queue, parent: int) -> None:
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            # A horse that held the socket open would hide the runner's death from the lash worker.
            self._link.close()
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            die_with_parent(signal.SIGKILL, parent)
            STABLE.outcome_fd = self._outcome.fileno() if self._outcome is not None else -1
            os.environ.update(RQ_WORKER_ID=self.name, RQ_JOB_ID=job.id)
            self.main_work_horse(job, queue)
        finally:
            os._exit(1)

    def setup_work_horse_signals(self) -> None:
        """SIGTERM interrupts the function once; Ctrl-C is for the lash worker."""
        super().setup_work_horse_signals()
        STABLE.enter_horse()

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:  # noqa: FBT001, FBT002 - RQ's
        """RQ's books in the horse; without them the function runs all the same."""
        with suppress(redis.RedisError):
            super().prepare_job_execution(job, remove_from_intermediate_queue)

    def monitor_work_horse(self, job: Job, queue: Queue) -> None:
        """RQ's monitor, which keeps RQ's books beside the wait; trouble of its Redis must not end the wait."""
        while True:
            try:
                super().monitor_work_horse(job, queue)
            except redis.RedisError as error:
                _log.info("job %s: the queue's server: %s", job.id, error)
            if not self._pid:
                return
            time.sleep(STORE_TROUBLE_PAUSE_S)

    def wait_for_horse(self) -> tuple[int | None, int | None, struct_rusage | None]:
        """Wait until the horse has ended, end what is left of its group, and report."""
        pid = self._pid
        if not pid:
            return None, os.EX_OK, None
        reaped: tuple[int, int, struct_rusage] | None = None
        if hasattr(os, "waitid"):
            # Not reaped yet: until it is, its id, which is its group's too, cannot become somebody else's.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        else:
            reaped = os.wait4(pid, 0)
        # RQ's alarm must not come between the reaping and the report.
        former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        try:
            with self._guard:
                signal_group(pid, signal.SIGKILL)
                _, status, usage = reaped or os.wait4(pid, 0)
                self._pid = 0
            self._report(status, usage)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
        return pid, status, usage

    def _report(self, status: int, usage: struct_rusage) -> None:
        end: dict[str, Any] = {}
        if self._outcome is not None:
            with self._outcome as file:
                file.seek(0)
                with suppress(ValueError):  # it died in the middle of writing
                    end = json.loads(file.read())
            self._outcome = None
        code = os.waitstatus_to_exitcode(status)
        end |= {"exit_code": code} if code >= 0 else {"signal": -code}
        rss = usage.ru_maxrss // (1_024 if sys.platform == "darwin" else 1)
        self._tell(ended=self._lash_job, end=end | {"max_rss_kb": rss})


def main() -> None:
    """Read the configuration, import the apps, work until told to end."""
    link = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(link.fileno(), False)  # noqa: FBT003 - the standard library wants it by position
    lines = link.makefile("r", encoding="utf-8")
    config: dict[str, Any] = json.loads(lines.readline() or "{}")
    if not config:
        sys.exit(1)
    sys.path[:] = config["sys_path"]
    if config["log_format"]:
        start_logging(config["log_format"])
    for name in ("rq", "rq.worker", "rq.job", "rq.queue"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Only the thread that listens is beside the fork, and it holds no lock that a horse needs.
    warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
    try:
        apps = {name: load_app(name) for name in config["apps"]}
        faults = _preload(apps.values())
    except LashError as error:
        link.sendall(json.dumps({"fault": str(error)}).encode() + b"\n")
        sys.exit(1)
    STABLE.apps = apps
    # One more try at once. RQ waits by itself when it listens; a horse must not wait for books.
    connection = redis.Redis.from_url(config["url"], retry=Retry(NoBackoff(), 1))
    queue = Queue(config["queue"], connection=connection, serializer=JSONSerializer, job_class=HorseJob)
    runner = Runner(link, queue, connection, faults)
    signal.signal(signal.SIGUSR1, runner.on_orphaned)
    die_with_parent(signal.SIGUSR1, config["worker_pid"])
    threading.Thread(target=runner.listen, args=(lines,), name="lash-link", daemon=True).start()
    gc.freeze()
    try:
        runner.work()
    except redis.RedisError as error:
        _log.info("the queue's server: %s", error)
    runner.end(1)


def _preload(apps: Iterable[App]) -> dict[str, str]:
    """Import what horses will need, so that each of them has it at once; returns what cannot be imported."""
    faults: dict[str, str] = {}
    for app in apps:
        for kind in app.isolated_kinds:
            signature = app.isolated_signature(kind)
            try:
                if isinstance(signature, RqSignature):
                    signature.load()
            except Exception as error:  # noqa: BLE001 - user code; its runs will fail with the same text
                faults[kind] = f"{type(error).__name__}: {error}"
    return faults


if __name__ == "__main__":
    main()
