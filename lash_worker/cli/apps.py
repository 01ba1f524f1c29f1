"""The apps of one call: ``--app``, else ``LASH_APP``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from lash_core.model.manifest import KindManifest
from lash_worker.app import App, load_app
from lash_worker.cli.invocation import Invocation
from lash_worker.cli.store_access import use_working_folder


class DeclaredApps:
    """The manifests of several apps as one."""

    def __init__(self, apps: Sequence[App]) -> None:
        self._apps = tuple(apps)

    def manifests(self) -> Mapping[str, KindManifest]:
        """Kind → manifest; the first app that declares a kind wins."""
        merged: dict[str, KindManifest] = {}
        for app in reversed(self._apps):
            merged.update(app.manifests())
        return merged


def app_names(invocation: Invocation) -> tuple[str, ...]:
    """``MODULE:ATTR`` of each app; empty when neither the option nor the variable names one."""
    if invocation.apps:
        return invocation.apps
    return tuple(name.strip() for name in os.environ.get("LASH_APP", "").split(",") if name.strip())


def load_apps(invocation: Invocation) -> tuple[App, ...]:
    """Import the apps. Raises: SettingsError or InvalidArgumentError naming what is not there."""
    names = app_names(invocation)
    if names:
        use_working_folder()
    return tuple(load_app(name) for name in names)
