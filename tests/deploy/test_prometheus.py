"""Scrape configuration and alert rules: checked with promtool where it is installed, and against our metric names."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from lash_core.metrics import FleetCollector, FleetSnapshot, WorkerMetrics
from lash_core.store.process_maintenance import FleetFacts
from tests.deploy.fleet_commands import ROOT

ALERTS = ROOT / "deploy" / "alerts.yml"


def served_names() -> set[str]:
    """Names of all samples that a worker and the exporter serve."""
    fleet = FleetCollector(lambda: FleetSnapshot(FleetFacts(), ()))
    families = [*WorkerMetrics(("kind",)).registry.collect(), *fleet.collect()]
    return {family.name for family in families} | {f"{family.name}_total" for family in families}


def test_alerts_name_metrics_that_exist() -> None:
    """Every ``lash_…`` name in an alert's expression is one that a worker or the exporter serves."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    named = {name for rule in rules for name in re.findall(r"lash_[a-z_]+", rule["expr"])}
    plain = {re.sub(r"_bucket$", "", name) for name in named}
    assert set() == plain - served_names()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_the_files() -> None:
    """``promtool check config`` and ``check rules`` pass."""
    for arguments in (
        ["check", "rules", str(ALERTS)],
        ["check", "config", "--syntax-only", str(ROOT / "deploy" / "prometheus.yml")],
    ):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
