"""What an app declares about sessions, and the one declaration that a worker of several apps works by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lash_core.errors import InvalidArgumentError, SettingsError
from lash_core.model.monitor import MonitorSpecs, monitors_of
from lash_core.model.session import SessionPolicy
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.runtime.background.monitors import monitors_by_id
from lash_core.runtime.plugins import PluginFactory
from lash_core.runtime.residency import Residency

ProvidersOf = Iterable[ModelProvider] | Callable[[], Iterable[ModelProvider]]
"""Providers, or a function that makes them: a program that only enqueues then never imports a model's library."""


@dataclass(frozen=True, slots=True)
class SessionsDeclaration:
    """How a worker runs sessions. ``App.sessions`` makes it.

    Attributes:
        policy: fills what a session does not say itself; what is stored of a session wins.
        make_providers: called once, by a worker that starts.
        plugins: beside the app's tools, in every session.
        residency: how much of a session's history is in memory while a turn runs.
        monitors: commands that may run beside a session, or a function that answers those of one session.
    """

    policy: SessionPolicy = field(default_factory=SessionPolicy)
    make_providers: Callable[[], tuple[ModelProvider, ...]] = tuple
    plugins: tuple[PluginFactory, ...] = ()
    residency: Residency = Residency.ACTIVE_PATH_ONLY
    monitors: MonitorSpecs = ()

    def providers(self) -> ModelProviders:
        """Make the providers; a policy that names none of them leaves it to each session.

        Raises:
            SettingsError: two of one id, or a blank one; the policy names one that is not among them.
        """
        try:
            made = ModelProviders(self.make_providers())
        except InvalidArgumentError as error:
            raise SettingsError(str(error), field="providers", value=error.value) from error
        wanted = self.policy.provider_id
        if wanted and wanted not in made:
            known = ", ".join(made.ids) or "none"
            raise SettingsError(
                f"the policy of sessions names the model provider `{wanted}`; declared: {known}",
                field="provider_id",
                value=wanted,
            )
        return made


class DeclaresSessions(Protocol):
    """The part of an app that is looked at here."""

    @property
    def name(self) -> str:
        """The app's name."""
        ...

    @property
    def declared_sessions(self) -> SessionsDeclaration | None:
        """What it declares, or None."""
        ...


def declared_sessions(
    app_name: str,
    policy: SessionPolicy | None,
    providers: ProvidersOf,
    plugins: Sequence[PluginFactory],
    residency: Residency | str,
    monitors: MonitorSpecs = (),
) -> SessionsDeclaration:
    """A checked declaration.

    Raises:
        SettingsError: a residency that there is not; the policy's provider is not among the providers, where these are
            known already; two monitors of one id.
    """
    try:
        kept = Residency(residency)
    except ValueError:
        known = ", ".join(one.value for one in Residency)
        raise SettingsError(
            f"sessions of app `{app_name}`: residency {residency!r} must be one of {known}",
            field="residency",
            value=str(residency),
        ) from None
    if not callable(monitors):
        monitors = tuple(monitors_by_id(monitors).values())
    declared = SessionsDeclaration(policy or SessionPolicy(), _maker(providers), tuple(plugins), kept, monitors)
    if not callable(providers):
        declared.providers()
    return declared


def _maker(providers: ProvidersOf) -> Callable[[], tuple[ModelProvider, ...]]:
    if callable(providers):
        make = providers
        return lambda: tuple(make())
    found = tuple(providers)
    return lambda: found


def sessions_of(apps: Sequence[DeclaresSessions]) -> SessionsDeclaration | None:
    """The one declaration of a worker: plugins and providers of all apps, and the policy that they agree on.

    Raises:
        SettingsError: two apps declare different policies or residencies: a session does not say which app it is of;
            two monitors of one id.
    """
    found: list[tuple[str, SessionsDeclaration]] = []
    for app in apps:
        if app.declared_sessions is not None:
            found.append((app.name, app.declared_sessions))
    if not found:
        return None
    first_name, first = found[0]
    for name, other in found[1:]:
        if (other.policy, other.residency) != (first.policy, first.residency):
            raise SettingsError(
                f"the apps `{first_name}` and `{name}` declare sessions with different policies; one worker has one",
                field="sessions",
                value=name,
            )
    declared = [one for _, one in found]
    return SessionsDeclaration(
        first.policy,
        lambda: tuple(provider for one in declared for provider in one.make_providers()),
        tuple(plugin for one in declared for plugin in one.plugins),
        first.residency,
        _monitors_of_all(declared),
    )


def _monitors_of_all(declared: Sequence[SessionsDeclaration]) -> MonitorSpecs:
    given = [one.monitors for one in declared]
    if any(callable(monitors) for monitors in given):
        return lambda session_id: tuple(spec for monitors in given for spec in monitors_of(monitors, session_id))
    return tuple(monitors_by_id(spec for monitors in given if not callable(monitors) for spec in monitors).values())
