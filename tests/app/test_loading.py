"""``load_app``: each thing that can be missing is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lash_core.errors import SettingsError
from lash_worker import App, load_app


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "good_app.py").write_text(
        "from lash_worker import App\napp = App('good')\nclass space:\n    inner = App('inner')\nnumber = 7\n"
    )
    (tmp_path / "broken_app.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "needy_app.py").write_text("import nobody_has_this\n")
    (tmp_path / "extra_app.py").write_text("raise ModuleNotFoundError('it needs the extra [mcp]')\n")
    (tmp_path / "empty_app.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("good_app", "broken_app", "needy_app", "extra_app", "empty_app"):
        sys.modules.pop(name, None)


def test_an_app_is_found_by_module_and_attribute() -> None:
    """Attributes may be nested."""
    assert "good" == load_app("good_app:app").name
    assert "inner" == load_app("good_app:space.inner").name
    assert isinstance(load_app("examples.reports:app"), App)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("good_app", "must be MODULE:ATTRIBUTE"),
        ("good_app:", "must be MODULE:ATTRIBUTE"),
        (":app", "must be MODULE:ATTRIBUTE"),
        ("good app:app", "must be MODULE:ATTRIBUTE"),
        ("no_such_app:app", "there is no module 'no_such_app'"),
        ("no_such.package:app", "there is no module 'no_such'"),
        ("needy_app:app", "imports 'nobody_has_this', which is not there"),
        ("extra_app:app", "importing 'extra_app' failed: it needs the extra [mcp]"),
        ("broken_app:app", "importing 'broken_app' failed: RuntimeError: at import"),
        ("good_app:application", "has no attribute 'application'; it has the apps app"),
        ("empty_app:app", "has no attribute 'app'; it has no App at all"),
        ("good_app:number", "is a int, not a lash_worker.App"),
    ],
)
def test_what_is_missing_is_named(name: str, says: str) -> None:
    """Form, module, import, attribute, type."""
    with pytest.raises(SettingsError) as caught:
        load_app(name)

    assert says in str(caught.value)
    assert name == caught.value.value
