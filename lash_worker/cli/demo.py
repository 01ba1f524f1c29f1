"""``lash demo``: the main job on the embedded server, checked."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lash_core.redis_store.embedded import ensure_embedded
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import EmbeddedSettings, StoreSettings
from lash_worker.demo.fleet import DemoWorkers
from lash_worker.demo.run import Demo, DemoOutcome, all_modules

NOT_PYTHON = "this line is not Python at all\n"


@click.command("demo")
@click.option("--modules", type=click.IntRange(min=10), default=None, help="Count at most this many modules.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Slots of each worker.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def demo(modules: int | None, concurrency: int, *, as_json: bool) -> None:
    """Run the main job: a fleet counts the standard library while one of its workers is killed.

    Uses a private server in a temporary folder and leaves nothing behind. Exits 1 when anything differs from a count
    in one process.
    """
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="lash-demo-") as folder:
        outcome = asyncio.run(_run(Path(folder), modules, concurrency, console))
    if as_json:
        click.echo(json.dumps({"ok": outcome.ok, **asdict(outcome)}))
    else:
        _print(console, outcome)
    sys.exit(0 if outcome.ok else 1)


async def _run(folder: Path, limit: int | None, concurrency: int, console: Console) -> DemoOutcome:
    broken = folder / "broken.py"
    broken.write_text(NOT_PYTHON)
    data_dir = folder / "data"
    server = ensure_embedded(EmbeddedSettings(data_dir=str(data_dir)))
    environment = {"LASH_DATA_DIR": str(data_dir), "LASH_NAMESPACE": "demo", "LASH_REDIS_URL": "", "LASH_EMBEDDED": "1"}
    workers = DemoWorkers(environment, folder, concurrency)
    try:
        settings = StoreSettings(namespace="demo", failover_grace_ms=0)
        async with RedisStores.connect(server.url, "demo", settings) as stores:
            with _progress(console) as progress:
                task = progress.add_task("modules counted", total=None)
                try:
                    return await Demo(
                        stores,
                        workers,
                        say=lambda line: progress.console.print(f"  {line}"),
                        advance=lambda done, total: progress.update(task, completed=done, total=total),
                    ).run(all_modules(limit), broken)
                finally:
                    workers.stop()
    except BaseException:
        _show_logs(folder, console)
        raise
    finally:
        workers.stop()
        server.close()


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=not console.is_terminal)


def _show_logs(folder: Path, console: Console) -> None:
    for log in sorted(folder.glob("worker-*.log")):
        console.print(f"--- {log.name}, last lines")
        console.print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), markup=False, highlight=False)


def _print(console: Console, outcome: DemoOutcome) -> None:
    table = Table(title="What was checked", title_justify="left")
    table.add_column("check")
    table.add_column("expected", justify="right")
    table.add_column("seen", justify="right")
    table.add_column("")
    for check in outcome.checks:
        table.add_row(check.what, check.expected, check.seen, "[green]ok[/]" if check.ok else "[red]DIFFERS[/]")
    console.print(table)
    takeover = (
        f"{outcome.takeover_ms[0]} to {outcome.takeover_ms[-1]} ms" if outcome.takeover_ms else "nothing to take over"
    )
    console.print(f"takeover after kill -9: {takeover} · cancel to end: {outcome.cancel_ms:.0f} ms")
    console.print(
        f"{outcome.modules} modules: {outcome.fleet_seconds:.1f} s by the fleet with a kill, "
        f"{outcome.direct_seconds:.1f} s in one process"
    )
    console.print("[green]everything matches[/]" if outcome.ok else "[red]something differs[/]")
