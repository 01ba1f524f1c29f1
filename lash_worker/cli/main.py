"""``lash``: noun, then verb. This module imports click alone; every command brings its own imports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise

import click

from lash_worker.cli.invocation import Invocation, shared_options
from lash_worker.cli.lazy_group import LazyGroup
from lash_worker.release import release

_HERE = "lash_worker.cli"

COMMANDS = {
    "demo": (f"{_HERE}.demo:demo", "The main job on a private server: a fleet, a kill -9, everything checked."),
    "dev": (f"{_HERE}.dev:dev", "Embedded server and worker in one command, reload on change."),
    "enqueue": (f"{_HERE}.process_enqueue:enqueue", "Start a process (also: process enqueue)."),
    "cancel": (f"{_HERE}.process_cancel:cancel", "Ask a process to stop (also: process cancel)."),
    "process": (f"{_HERE}.process:process", "Start, list, follow, signal, explain and prune processes."),
    "session": (f"{_HERE}.session:session", "Talk to sessions and watch them: send, watch, history, cancel."),
    "trigger": (f"{_HERE}.trigger:trigger", "Start processes by schedule or by what happens outside."),
    "worker": (f"{_HERE}.worker:worker", "Run, list and drain workers."),
    "kinds": (f"{_HERE}.kinds:kinds", "List and remove kind manifests."),
    "serve": (f"{_HERE}.serve:serve", "Sessions over HTTP: a page, an API and live events."),
    "top": (f"{_HERE}.top:top", "The fleet at a glance, refreshed."),
    "doctor": (f"{_HERE}.doctor:doctor", "Check the server, the layout and the fleet."),
    "exporter": (f"{_HERE}.exporter:exporter", "Serve the fleet's metrics and service discovery."),
    "config": (f"{_HERE}.config:config", "Show the effective settings."),
    "acl": (f"{_HERE}.acl:acl", "Print ACL rules for a role."),
    "upgrade": (f"{_HERE}.upgrade:upgrade", "Let records of this release be written, when no worker is older."),
    "completion": (f"{_HERE}.completion:completion", "Print the completion script of a shell."),
}


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value:
        click.echo(f"lash {release()}")
        context.exit()


@click.group("lash", cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@shared_options
@click.pass_context
def cli(context: click.Context) -> None:
    """Durable processes on Redis.

    The server: --redis-url, else LASH_REDIS_URL, else an embedded server in LASH_DATA_DIR (.lash).

    Exit codes: 0 done, 1 failed for a stated reason, 2 bad usage or input, 3 not found, 4 conflict, 5 store unreachable
    or refused, 6 outcome unknown, 7 timed out waiting.
    """
    context.ensure_object(Invocation)


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed on stderr."""
    try:
        code = cli.main(args=list(args), prog_name="lash", standalone_mode=False)
    except click.Abort:
        return 130
    except Exception as error:  # noqa: BLE001 - what is not an error of the user's is raised again by report()
        return import_module(f"{_HERE}.exit_codes").report(error, as_json=_wants_json(args))
    return code if isinstance(code, int) else 0


def _wants_json(args: Sequence[str]) -> bool:
    """Whether a program reads stderr: it asked for JSON, or for log lines in JSON."""
    return "--json" in args or "--log-format=json" in args or ("--log-format", "json") in pairwise(args)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
