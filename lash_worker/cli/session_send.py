"""``lash session send``: an input for a session."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import click

from lash_core.client import LashClient
from lash_core.client_session import SentInput, SessionHandle
from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.model.queued_work import DeliveryPolicy
from lash_core.model.turn_outcome import AssembledTurn, FinishedOutcome
from lash_core.store.attachment_store import CHUNK_BYTES, AttachmentRef
from lash_worker.cli.exit_codes import DONE, FAILED
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import cell, console, print_json, safe
from lash_worker.cli.session_hints import missing_worker
from lash_worker.cli.session_rows import turn_json, turn_text
from lash_worker.cli.store_access import with_client

WAIT_SECONDS = 60.0
"""``--wait`` without ``--timeout``: most answers come within it, and a person does not wait longer without knowing."""


@click.command("send")
@click.argument("session_id", metavar="ID")
@click.argument("text", required=False)
@click.option(
    "--attach",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A file that goes with it, may be repeated.",
)
@click.option("--wait", is_flag=True, help="Wait for the answer and print it.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait; implies --wait.  [60]")
@click.option(
    "--source-key", metavar="KEY", help="The same key again sends nothing and finds the first input. [a fresh one]"
)
@click.option("--after-turn", is_flag=True, help="Not into a running turn, but after it.")
@json_option
@shared_options
@pass_invocation
def send(
    invocation: Invocation, session_id: str, text: str | None, *, files: tuple[Path, ...], as_json: bool, **given: Any
) -> int:
    """Send TEXT (- = standard input) to session ID; the session is made if it is not there.

    What comes while a turn runs joins it, and both are answered by its last words; --after-turn begins another one.
    Exit code with --wait: 0 answered, 1 the turn was stopped, 7 no answer yet (it goes on; send again with the same
    --source-key to wait for it).
    """
    content = _content(text)
    if not content.strip() and not files:
        raise click.UsageError("an input needs TEXT (- reads standard input) or --attach FILE")
    waits = given["wait"] or given["timeout"] is not None
    timeout = WAIT_SECONDS if given["timeout"] is None else given["timeout"]

    async def work(lash: LashClient) -> tuple[SentInput, AssembledTurn | None]:
        handle = lash.session(session_id)
        references = [await _attach(handle, path) for path in files]
        policy = DeliveryPolicy.EARLIEST_SAFE_BOUNDARY
        if given["after_turn"]:
            policy = DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT
        try:
            sent = await handle.send(
                content, attachments=references, source_key=given["source_key"], delivery_policy=policy
            )
        except LimitExceededError as error:
            raise _too_large(error) from error
        missing = None if as_json else await missing_worker(lash)
        if missing is not None:
            # Before the wait: who hears it after a minute has waited for nothing.
            click.echo(f"lash: it waits: {missing}", err=True)
        return sent, await _answer(lash, sent, timeout) if waits else None

    sent, turn = with_client(invocation, work)
    if as_json:
        facts = {"session_id": session_id, "batch_id": sent.batch_id, "enqueue_seq": sent.batch.enqueue_seq}
        print_json(facts | ({} if turn is None else {"turn": turn_json(turn)}))
    elif turn is None:
        console().print(cell(f"queued {sent.batch_id}"))
    elif isinstance(turn.outcome, FinishedOutcome):
        click.echo(safe(turn_text(turn)))
    else:
        click.echo(f"lash: {safe(turn_text(turn))}", err=True)
    return DONE if turn is None or isinstance(turn.outcome, FinishedOutcome) else FAILED


async def _attach(handle: SessionHandle, path: Path) -> AttachmentRef:
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        return await handle.attach(_portions(path), media_type=media_type, name=path.name)
    except OSError as error:
        raise InvalidArgumentError(f"{path}: {error.strerror}", field="attach", value=str(path)) from error


async def _portions(path: Path) -> AsyncGenerator[bytes]:
    """A file in pieces, so that one over the limit is refused before it is read to its end."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield data


async def _answer(lash: LashClient, sent: SentInput, timeout: float) -> AssembledTurn:  # noqa: ASYNC109 - an option
    try:
        return await sent.answer(timeout)
    except TimeoutError as error:
        session_id = sent.session.session_id
        why = await missing_worker(lash, session_id) or f"its answer will be in `lash session history {session_id}`"
        waited = f"session `{session_id}` has not answered after {timeout:g} s"
        raise TimeoutError(f"{waited}; input {sent.batch_id} stays queued: {why}") from error


def _content(text: str | None) -> str:
    content = sys.stdin.read() if text == "-" else text or ""
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise click.UsageError("TEXT is not UTF-8; other bytes go as a file: --attach FILE") from error
    return content


def _too_large(error: LimitExceededError) -> LimitExceededError:
    """The store speaks of what it keeps; a person has sent a text."""
    if error.field != "payloads":
        return error
    return LimitExceededError(
        f"the input has {error.value} bytes; the limit is {error.limit} (a file may be larger: --attach FILE)",
        field="text",
        value=error.value,
        limit=error.limit,
    )
