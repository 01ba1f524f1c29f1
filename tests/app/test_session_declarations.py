"""``app.sessions``: what may be declared, and the one declaration of a worker of several apps."""

from __future__ import annotations

import pytest

from lash_core.errors import SettingsError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.metrics import WorkerMetrics
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.runtime.plugins import PluginFactory
from lash_core.runtime.residency import Residency
from lash_core.testing.scripted_provider import ScriptedProvider
from lash_worker import App
from lash_worker.app_sessions import sessions_of
from lash_worker.identity import worker_identity
from lash_worker.worker_config import DurableProcessWorkerConfig
from lash_worker.worker_settings import WorkerSettings
from lash_worker.worker_stores import config_from_apps

POLICY = SessionPolicy(model=ModelSpec("tiny"), provider_id="local")


class Notes(PluginFactory):
    plugin_id = "notes"


def config_of(*apps: App) -> DurableProcessWorkerConfig:
    settings = WorkerSettings(lease_ttl_ms=9_000)
    return config_from_apps(
        apps, InMemoryStores(), settings=settings, identity=worker_identity(None), metrics=WorkerMetrics()
    )


def test_a_worker_runs_sessions_as_its_app_declares() -> None:
    """Policy, providers and plugins reach the worker, the lease timings too."""
    app = App("chat")
    app.sessions(policy=POLICY, providers=[ScriptedProvider(provider_id="local")], plugins=[Notes()])
    config = config_of(app)

    assert (POLICY, Residency.ACTIVE_PATH_ONLY) == (config.session_policy, config.residency)
    assert ("local",) == config.runtime_host.providers.ids
    assert {"app:chat", "notes"} <= {factory.plugin_id for factory in config.plugin_host.factories}
    assert config.ready_sessions is not None
    assert (9_000, 3_000) == (
        config.runtime_host.session_lease_timings.ttl_ms,
        config.runtime_host.session_lease_timings.renew_interval_ms,
    )


def test_a_worker_without_declaration_runs_no_sessions() -> None:
    """Its processes may still have some."""
    assert config_of(App("jobs")).ready_sessions is None


def test_providers_may_be_made_when_a_worker_starts() -> None:
    """Whoever only enqueues imports no model's library."""
    made: list[str] = []

    def providers() -> list[ScriptedProvider]:
        made.append("now")
        return [ScriptedProvider(provider_id="local")]

    app = App("chat")
    app.sessions(policy=POLICY, providers=providers)
    assert [] == made
    assert ("local",) == config_of(app).runtime_host.providers.ids
    assert ["now"] == made


def test_a_policy_names_a_provider_that_is_there() -> None:
    """Else every turn would be declined for ever."""
    with pytest.raises(SettingsError, match="names the model provider `local`; declared: other"):
        App("chat").sessions(policy=POLICY, providers=[ScriptedProvider(provider_id="other")])
    late = App("chat")
    late.sessions(policy=POLICY, providers=list)
    with pytest.raises(SettingsError, match="declared: none"):
        config_of(late)


def test_what_else_is_refused() -> None:
    """Twice, two providers of one id, a residency that there is not."""
    app = App("chat")
    app.sessions()
    with pytest.raises(SettingsError, match="twice"):
        app.sessions()
    twins = [ScriptedProvider(provider_id="a"), ScriptedProvider(provider_id="a")]
    with pytest.raises(SettingsError, match="two model providers"):
        App("chat").sessions(providers=twins)
    with pytest.raises(SettingsError, match="must be one of keep_all, active_path_only"):
        App("chat").sessions(residency="some")


def test_apps_of_one_worker_agree_on_a_policy() -> None:
    """Providers and plugins add up."""
    one, two, other = App("one"), App("two"), App("other")
    one.sessions(policy=POLICY, providers=[ScriptedProvider(provider_id="local")])
    two.sessions(policy=POLICY, providers=lambda: [ScriptedProvider(provider_id="second")], plugins=[Notes()])
    other.sessions(policy=SessionPolicy(model=ModelSpec("big")))

    merged = sessions_of([one, App("jobs"), two])
    assert merged is not None
    assert ("local", "second") == merged.providers().ids
    assert 1 == len(merged.plugins)
    with pytest.raises(SettingsError, match="`one` and `other` declare sessions with different policies"):
        sessions_of([one, other])
