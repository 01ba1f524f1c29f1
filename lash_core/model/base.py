"""The base of every model: frozen, closed, built by field name, by alias, or by position where a model allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

JsonValue = Any
"""Any canonical JSON value (``lash_core.model.canonical_json``). Checked where it enters, not by type."""


_POSITIONAL: dict[type[BaseModel], tuple[str, ...]] = {}


def positional_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Fields that may be given by position, in order: those declared with ``Field(kw_only=False)``."""
    found = _POSITIONAL.get(model)
    if found is None:
        found = tuple(name for name, info in model.model_fields.items() if info.kw_only is False)
        if model.__pydantic_complete__:  # until then it may get other fields
            _POSITIONAL[model] = found
    return found


if TYPE_CHECKING:
    # Type checkers read ``kw_only=False`` by themselves, as part of ``dataclass_transform``.
    _PositionalModel = BaseModel
else:

    class _PositionalMeta(type(BaseModel)):
        """Turns positional arguments into named ones before pydantic sees them.

        It stands on the metaclass because an ``__init__`` of our own would slow every nested validation down.
        """

        def __call__(cls, *args, **named):
            if args:
                named = _named_arguments(cls, args, named)
            return super().__call__(**named)

    class _PositionalModel(BaseModel, metaclass=_PositionalMeta):
        """The run-time half of positional construction."""


def _named_arguments(model: type[BaseModel], args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    names = _POSITIONAL.get(model) or positional_fields(model)
    if len(args) > len(names):
        raise TypeError(f"{model.__name__} takes at most {len(names)} positional arguments, {len(args)} were given")
    for name, value in zip(names, args, strict=False):
        if name in named:
            raise TypeError(f"{model.__name__} got {name!r} by position and by name")
        named[name] = value
    return named


class Model(_PositionalModel):
    """A frozen record. Unknown fields are refused, so that a misspelled name is an error and not a loss."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="constants"
    )

    def to_json_value(self) -> dict[str, Any]:
        """The record as a JSON object: aliases as names, absent optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_plain_value(self) -> dict[str, Any]:
        """``to_json_value`` with values as they were given: for checks and texts of canonical JSON.

        The JSON mode of pydantic makes text of dates and of keys that are numbers; those have to be refused instead.
        """
        return self.model_dump(mode="python", by_alias=True, exclude_none=True)
