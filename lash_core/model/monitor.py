"""Monitors of a session: commands of the host whose lines it hears (``docs/contracts/background_tasks.md`` 6). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from lash_core.errors import InvalidArgumentError
from lash_core.model.background_task import MONITOR_PREFIX
from lash_core.model.base import Model
from lash_core.model.ids import check_id

MONITOR_TIMEOUT_MS = 300_000
MONITOR_TIMEOUT_MS_MAX = 3_600_000


class MonitorArm(StrEnum):
    """When a monitor is started: when somebody says so, or with the session's first runtime."""

    MANUAL = "manual"
    SESSION_START = "session_start"


class MonitorWakePolicy(StrEnum):
    """What lines do: tell who subscribes to the session's tasks, or start a turn as well."""

    NOTIFY = "notify"
    QUEUE_TURN = "queue_turn"


class MonitorRunState(StrEnum):
    """Where a monitor stands. ``idle``: not started by this runtime; ``exited``: ended by itself, with code 0."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPED = "stopped"
    EXITED = "exited"
    FAILED = "failed"


class MonitorSpec(Model):
    """A command that the host lets run beside a session. It comes from the host's configuration, never from a model.

    Attributes:
        id: unique in a session.
        command: a line for ``/bin/sh``, or a program with its arguments.
        cwd: its working folder; None = the program's own.
        env: beside the few variables that every command gets (``monitor_environment``).
        persistent: it has no time limit.
        timeout_ms: longest run otherwise, at most an hour; over it the monitor has failed.
        arm_on: when it is started.
        wake_policy: what its lines do.
        restart_on_restore: started again with the session's next runtime when it ran and its owner was lost.
    """

    id: str = Field(kw_only=False)
    command: str | tuple[str, ...] = Field(kw_only=False)
    cwd: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    persistent: bool = False
    timeout_ms: int = MONITOR_TIMEOUT_MS
    arm_on: MonitorArm = MonitorArm.MANUAL
    wake_policy: MonitorWakePolicy = MonitorWakePolicy.QUEUE_TURN
    restart_on_restore: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_id(self.id, field="id", subject="monitor id")
        check_id(self.task_id, field="id", subject="task id of a monitor")
        if not self.arguments[0].strip() or any("\0" in word for word in (*self.arguments, self.cwd or "")):
            raise InvalidArgumentError(
                f"monitor `{self.id}` needs a command without NUL characters", field="command", value=str(self.command)
            )
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name or "\0" in value:
                raise InvalidArgumentError(
                    f"monitor `{self.id}`: {name!r} cannot be an environment variable", field="env", value=name
                )
        if not 1 <= self.timeout_ms <= MONITOR_TIMEOUT_MS_MAX:
            raise InvalidArgumentError(
                f"monitor `{self.id}`: timeout_ms is {self.timeout_ms}; it must be 1 to {MONITOR_TIMEOUT_MS_MAX}",
                field="timeout_ms",
                value=self.timeout_ms,
                limit=MONITOR_TIMEOUT_MS_MAX,
            )
        return self

    @property
    def task_id(self) -> str:
        """The id of its task."""
        return monitor_task_id(self.id)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is executed."""
        if isinstance(self.command, str):
            return ("/bin/sh", "-c", self.command) if self.command.strip() else ("",)
        return self.command or ("",)

    def __repr__(self) -> str:
        # Values of the environment may be secrets.
        return f"MonitorSpec(id={self.id!r}, arm_on={self.arm_on.value!r}, wake_policy={self.wake_policy.value!r})"

    __str__ = __repr__


class MonitorStatus(Model):
    """A monitor as hosts and models may see it: neither command nor environment. Times are ms since the epoch.

    Attributes:
        exit_code: of the command; minus the signal that ended it; None while it runs, or when it never ran.
        reason: why it is not running, for people.
        lines: that it wrote so far.
        dropped: of these, lines that came faster than they could be handed on.
    """

    id: str
    task_id: str
    state: MonitorRunState
    wake_policy: MonitorWakePolicy
    started_at: int | None = None
    ended_at: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    lines: int = 0
    dropped: int = 0


MonitorSpecs = Sequence[MonitorSpec] | Callable[[str], Sequence[MonitorSpec]]
"""The monitors of every session of a host, or a function that answers those of one session."""


def monitors_of(specs: MonitorSpecs, session_id: str) -> Sequence[MonitorSpec]:
    """The monitors that a host configures for a session."""
    return specs(session_id) if callable(specs) else specs


def monitor_task_id(monitor_id: str) -> str:
    """The id of a monitor's task."""
    return f"{MONITOR_PREFIX}{monitor_id}"


def monitor_id_of(task_id: str) -> str:
    """The monitor of a task id; an id without the prefix is taken as it is."""
    return task_id.removeprefix(MONITOR_PREFIX)
