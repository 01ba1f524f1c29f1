"""``lash config show``: what is in force, and where it comes from."""

from __future__ import annotations

import os
from typing import Any

import click

from lash_core.redis_store.redact import redact_url
from lash_core.settings import ENVIRONMENT, Settings
from lash_worker.cli.effective_settings import settings_of
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, table


@click.group("config")
def config() -> None:
    """Show the effective settings."""


@config.command("show")
@json_option
@shared_options
@pass_invocation
def show(invocation: Invocation, *, as_json: bool) -> None:
    """Print every setting with its value and source. Secrets are masked; no server is asked."""
    rows = setting_rows(settings_of(invocation), invocation.environment())
    if as_json:
        print_json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    cells = (
        (cell(name), cell(value), cell(source, "dim" if source == "default" else "")) for name, value, source in rows
    )
    console().print(table(("setting", "value", "source"), cells))


def setting_rows(settings: Settings, options: dict[str, str]) -> list[tuple[str, Any, str]]:
    """Variable, effective value (masked), source: option, environment or default."""
    rows: list[tuple[str, Any, str]] = []
    for name, path, kind in ENVIRONMENT:
        value: Any = settings
        for part in path:
            value = getattr(value, part)
        if kind == "secret" and value is not None:
            value = "***"
        source = "option" if name in options else "environment" if os.environ.get(name, "").strip() else "default"
        rows.append((name, redact_url(value) if isinstance(value, str) else value, source))
    return rows
