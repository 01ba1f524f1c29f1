"""``lash serve``: sessions over HTTP until SIGTERM (``docs/contracts/web.md``)."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

import click

from lash_core.client import LashClient
from lash_core.errors import SettingsError
from lash_worker.cli.effective_settings import settings_of
from lash_worker.cli.invocation import Invocation, pass_invocation, shared_options
from lash_worker.cli.logs import LOG_FORMATS, start_logging
from lash_worker.cli.store_access import with_client

PORT = 8470

TOKEN_FILE_BYTES_MAX = 4_096
"""A token has one line; a larger file is another one."""


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True, help="Port; 0 = a free one.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File with the token, instead of LASH_WEB_TOKEN.",
)
@click.option("--allow-write", is_flag=True, help="Let clients on this machine send and cancel without a token.")
@click.option("--read-only", is_flag=True, help="Let nobody send or cancel.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="Name that this server is asked by, without port; may be repeated.",
)
@click.option(
    "--origin",
    "origins",
    metavar="URL",
    multiple=True,
    help="Origin of its pages, where a proxy changes it: https://chat.example.com; may be repeated.",
)
@click.option("--watchers", type=click.IntRange(1, 100_000), default=2_000, show_default=True, help="Streams at once.")
@click.option("--no-page", is_flag=True, help="Serve the API without the page.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Serve https: PEM file.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Its key, if apart.")
@click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), default="text", show_default=True, help="Form of log lines."
)
@shared_options
@pass_invocation
def serve(invocation: Invocation, *, log_format: Any, **given: Any) -> None:
    """Serve sessions over HTTP: a page, an API and live events, until SIGTERM.

    Without a token (LASH_WEB_TOKEN or --token-file) only clients on this machine are answered, and they may change
    nothing unless --allow-write.
    """
    if given["allow_write"] and given["read_only"]:
        raise click.UsageError("--allow-write and --read-only contradict each other")
    start_logging(log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        # Starlette and uvicorn are an extra, and cost a quarter of a second.
        from lash_worker.cli import serve_app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"lash serve needs {error.name}, of the extra [web]: pip install 'lash[web]', in a checkout '.[web]'",
            field="web",
        ) from error
    token = token_of(invocation, given["token_file"])
    plan = serve_app.plan_of(token, given)

    async def run(lash: LashClient) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve_app.serve_until(lash, plan, stop)

    with_client(invocation, run)


def token_of(invocation: Invocation, file: Path | None) -> str | None:
    """The token of a file, else of the environment. Raises: SettingsError: the file holds none."""
    if file is None:
        return settings_of(invocation).web_token
    text = file.read_bytes()[: TOKEN_FILE_BYTES_MAX + 1]
    try:
        token = text.decode().strip()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is no text", field="token-file", value=str(file)) from error
    if not token or len(text) > TOKEN_FILE_BYTES_MAX:
        raise SettingsError(f"{file} holds no token", field="token-file", value=str(file))
    return token
