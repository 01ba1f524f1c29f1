"""What every command of one call shares: which server, which namespace, which apps, which form of output."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

_PASSWORD = re.compile(r"://[^@]*:[^@]+@|[?&][a-z0-9_]*(?:password|secret|token)=", re.IGNORECASE)
"""Rather too wide: a password may hold a slash, and Sentinel has one of its own in the query."""

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


@dataclass
class Invocation:
    """Options that may stand before or after the command; None means the environment decides."""

    redis_url: str | None = None
    namespace: str | None = None
    data_dir: str | None = None
    apps: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The options as the variables they stand for; laid over the environment before settings are read."""
        pairs = {"LASH_REDIS_URL": self.redis_url, "LASH_NAMESPACE": self.namespace, "LASH_DATA_DIR": self.data_dir}
        return {name: value for name, value in pairs.items() if value is not None}


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is None or value == () or not parameter.name:
        return
    invocation = context.ensure_object(Invocation)
    if parameter.name == "redis_url":
        _refuse_password(value, context, parameter)
    setattr(invocation, parameter.name, value)


def _refuse_password(url: str, context: click.Context, parameter: click.Parameter) -> None:
    if _PASSWORD.search(url):
        raise click.BadParameter(
            "every user of this host can read a password on a command line (ps). Put the URL into LASH_REDIS_URL.",
            ctx=context,
            param=parameter,
        )


def shared_options(command: AnyCallable) -> AnyCallable:
    """Add ``--redis-url``, ``--namespace`` and ``--data-dir``; they are remembered in the ``Invocation``."""
    for name, metavar, text in reversed(_SHARED):
        command = click.option(name, metavar=metavar, help=text, expose_value=False, callback=_remember)(command)
    return command


def app_option(command: AnyCallable) -> AnyCallable:
    """Add ``--app``, which may be repeated; ``LASH_APP`` (separated by commas) when it is absent."""
    return click.option(
        "--app",
        "apps",
        metavar="MODULE:ATTR",
        multiple=True,
        help="App that declares the kinds; may be repeated (LASH_APP).",
        expose_value=False,
        callback=_remember,
    )(command)


_SHARED = (
    ("--redis-url", "URL", "Server, without a password (LASH_REDIS_URL may have one)."),
    ("--namespace", "NAME", "Namespace of the fleet (LASH_NAMESPACE)."),
    ("--data-dir", "DIR", "Data folder of the embedded server (LASH_DATA_DIR)."),
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
