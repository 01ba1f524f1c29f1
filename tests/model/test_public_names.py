"""``__all__`` of every public module is true."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import lash_core
import lash_worker
from lash_core import errors, model, store
from lash_core.model.base import Model


def modules() -> list[str]:
    """Every module of both packages whose text declares ``__all__``."""
    found: list[str] = []
    for package in (lash_core, lash_worker):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            if "\n__all__" in path.read_text():
                parts = path.relative_to(root.parent).with_suffix("").parts
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


def _order(name: str) -> tuple[int, str]:
    # Constants, then types, then functions, as the linter sorts them.
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", modules())
def test_all_is_true(name: str) -> None:
    """Every listed name is there, once, in order."""
    module = importlib.import_module(name)
    listed: list[str] = module.__all__

    assert sorted(set(listed), key=_order) == listed
    for entry in listed:
        assert hasattr(module, entry), f"{name}.__all__ lists {entry}"
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


def classes(package: ModuleType) -> dict[str, type]:
    """Classes that the modules of a package define, by module and name."""
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                found[f"{info.name}.{name}"] = value
    return found


def test_every_type_of_the_model_is_exported() -> None:
    """A type of the contracts that the package does not export would be found by nobody."""
    assert [] == [path for path, value in classes(model).items() if value.__name__ not in model.__all__]


def test_every_error_is_exported() -> None:
    """Who catches one need not know which file it is in."""
    assert [] == [path for path, value in classes(errors).items() if value.__name__ not in errors.__all__]


def test_every_store_contract_is_exported() -> None:
    """Each protocol; what only one implementation needs may stay in its module."""
    protocols = {path: value for path, value in classes(store).items() if getattr(value, "_is_protocol", False)}

    assert [] == [path for path, value in protocols.items() if value.__name__ not in store.__all__]


def test_every_model_is_closed_and_frozen() -> None:
    """One base, one behaviour."""
    for name in model.__all__:
        value = getattr(model, name)
        if inspect.isclass(value) and issubclass(value, Model):
            assert value.model_config.get("frozen") is True, name
            assert "forbid" == value.model_config.get("extra"), name
