"""Session scopes, originators and provenance (contract 1.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from lash_core.model.base import Model
from lash_core.model.ids import check_id


class SessionScope(Model):
    """A session, or one agent frame of it. What handle grants are keyed by."""

    session_id: str = Field(kw_only=False)
    agent_frame_id: str | None = Field(default=None, kw_only=False)

    @field_validator("agent_frame_id")
    @classmethod
    def _empty_frame_is_none(cls, value: str | None) -> str | None:
        return value or None

    @classmethod
    def for_agent_frame(cls, session_id: str, agent_frame_id: str | None) -> SessionScope:
        """One frame of a session; an empty frame id means the session itself."""
        return cls(session_id=session_id, agent_frame_id=agent_frame_id)

    @property
    def scope_id(self) -> str:
        """``session:<sid>`` or ``session:<sid>/frame:<fid>``; an empty frame id counts as absent."""
        if self.agent_frame_id:
            return f"session:{self.session_id}/frame:{self.agent_frame_id}"
        return f"session:{self.session_id}"

    def id(self) -> str:
        """``scope_id``, as its first form is asked for it."""
        return self.scope_id

    @property
    def is_empty(self) -> bool:
        """True when there is no session id."""
        return not self.session_id

    def validated(self) -> SessionScope:
        """Return self when both ids are legal ids.

        Raises:
            InvalidArgumentError: naming the field.
        """
        check_id(self.session_id, field="session_id", subject="session id")
        if self.agent_frame_id:
            check_id(self.agent_frame_id, field="agent_frame_id", subject="agent frame id")
        return self


ProcessScope = SessionScope


class HostOriginator(Model):
    """Started by the host itself, with an optional opaque label for grouping."""

    type: Literal["host"] = "host"
    scope: str | None = Field(default=None, kw_only=False)

    @property
    def scope_id(self) -> str:
        """``host`` or ``host:<scope>``."""
        return f"host:{self.scope}" if self.scope else "host"


class SessionOriginator(Model):
    """Started by a session."""

    type: Literal["session"] = "session"
    scope: SessionScope = Field(kw_only=False)

    @property
    def scope_id(self) -> str:
        """The session's scope id."""
        return self.scope.scope_id


AnyOriginator = Annotated[HostOriginator | SessionOriginator, Field(discriminator="type")]


class ProcessOriginator:
    """Makes originators: ``ProcessOriginator.host(scope)``, ``ProcessOriginator.session(scope)``."""

    @staticmethod
    def host(scope: str | None = None) -> HostOriginator:
        """The host, with an optional label."""
        return HostOriginator(scope=scope)

    @staticmethod
    def session(scope: SessionScope) -> SessionOriginator:
        """A session scope."""
        return SessionOriginator(scope=scope)


class CausalRef(Model):
    """What caused a process: the ``kind`` and the ids that kind names (contract 1.1)."""

    kind: Literal["turn", "effect", "tool_call", "process", "process_event", "trigger_occurrence", "session_node"] = (
        Field(validation_alias=AliasChoices("kind", "type"))
    )
    session_id: str | None = None
    turn_id: str | None = None
    effect_id: str | None = None
    call_id: str | None = None
    process_id: str | None = None
    sequence: int | None = None
    occurrence_id: str | None = None
    subscription_id: str | None = None
    incarnation: int | None = None
    revision: int | None = None
    node_id: str | None = None

    @classmethod
    def process(cls, process_id: str) -> CausalRef:
        """Caused by a process."""
        return cls(kind="process", process_id=process_id)

    @classmethod
    def process_event(cls, process_id: str, sequence: int) -> CausalRef:
        """Caused by one event of a process."""
        return cls(kind="process_event", process_id=process_id, sequence=sequence)

    @classmethod
    def trigger_occurrence(
        cls,
        occurrence_id: str,
        subscription_id: str | None = None,
        incarnation: int | None = None,
        revision: int | None = None,
    ) -> CausalRef:
        """Caused by one occurrence of a trigger."""
        return cls(
            kind="trigger_occurrence",
            occurrence_id=occurrence_id,
            subscription_id=subscription_id,
            incarnation=incarnation,
            revision=revision,
        )


class ProcessProvenance(Model):
    """Where a process comes from. Pure metadata, but for the host profile check (contract, decision 1)."""

    originator: AnyOriginator = Field(default_factory=HostOriginator, kw_only=False)
    caused_by: CausalRef | None = None
    host_profile_id: str = ""

    @model_validator(mode="before")
    @classmethod
    def _originator_of_owner_scope(cls, data: Any) -> Any:
        # The older form names the owner scope; it is the originator's session scope (contract, decision 1).
        if not isinstance(data, dict) or "owner_scope" not in data:
            return data
        facts = {name: value for name, value in data.items() if name != "owner_scope"}
        scope = SessionScope.model_validate(data["owner_scope"])
        if not scope.is_empty:
            facts.setdefault("originator", SessionOriginator(scope=scope))
        return facts

    @classmethod
    def for_session(cls, scope: SessionScope, *, host_profile_id: str = "") -> ProcessProvenance:
        """Started by a session: its scope is the owner scope."""
        return cls(originator=SessionOriginator(scope=scope), host_profile_id=host_profile_id)

    @property
    def owner_scope(self) -> SessionScope:
        """The originator's session scope; empty when the host is the originator."""
        if isinstance(self.originator, SessionOriginator):
            return self.originator.scope
        return SessionScope(session_id="")
