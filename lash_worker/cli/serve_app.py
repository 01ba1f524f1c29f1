"""What ``lash serve`` runs once its options are known; imports the extra ``[web]``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from lash_core.client import LashClient
from lash_core.web import WebConfig, WebLimits, session_app
from lash_core.web.origins import listens_on_loopback
from lash_core.web.server import Certificate, WebServer, check_bind
from lash_worker.collector import collect_seldom

_log = logging.getLogger("lash.serve")


@dataclass(frozen=True, slots=True)
class ServePlan:
    """Where to listen and whom to answer."""

    host: str
    port: int
    config: WebConfig
    certificate: Certificate | None


def plan_of(token: str | None, given: Mapping[str, Any]) -> ServePlan:
    """The plan of a command line. Raises: SettingsError: before anything is connected to."""
    writes = False if given["read_only"] else (True if given["allow_write"] else None)
    config = WebConfig(
        token=token,
        allow_write=writes,
        allowed_hosts=given["allowed_hosts"],
        origins=given["origins"],
        page=not given["no_page"],
        limits=WebLimits(watchers_max=given["watchers"]),
    )
    check_bind(given["host"], config)
    if given["tls_key"] and not given["tls_cert"]:
        raise click.UsageError("--tls-key needs --tls-cert")
    certificate = Certificate(given["tls_cert"], given["tls_key"]) if given["tls_cert"] else None
    return ServePlan(given["host"], given["port"], config, certificate)


async def serve_until(lash: LashClient, plan: ServePlan, stop: asyncio.Event) -> None:
    """Serve until the event is set, or the server ends by itself."""
    server = WebServer(session_app(lash, plan.config), plan.host, plan.port, certificate=plan.certificate)
    async with server:
        collect_seldom()
        _log.info("serving sessions at %s (%s)", server.url, whom(plan.config))
        if plan.config.token and plan.certificate is None and not listens_on_loopback(plan.host):
            _log.warning("the token travels without encryption: --tls-cert, or a proxy that speaks https")
        ended = asyncio.create_task(server.wait())
        told = asyncio.create_task(stop.wait())
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, told):
            task.cancel()
    _log.info("serving stopped")


def whom(config: WebConfig) -> str:
    """Who is answered, and what they may do."""
    who = "with a token" if config.token else "clients on this machine"
    if config.writes:
        return f"{who}, read and write"
    # By default nobody may send: whoever starts it for the first time looks for how.
    return f"{who}, read-only" + ("; --allow-write lets them send and cancel" if config.allow_write is None else "")
