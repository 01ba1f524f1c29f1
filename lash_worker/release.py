"""Which release this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The installed release; ``0`` when it runs from a source tree that is not installed."""
    try:
        return version("lash")
    except PackageNotFoundError:
        return "0"
