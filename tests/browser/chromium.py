"""Where Chromium is, how it is started here, and what to do where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
)


def find_chromium() -> str | None:
    """``LASH_TEST_CHROMIUM``, else the first one on the path."""
    named = os.environ.get("LASH_TEST_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def why_skipped() -> str | None:
    """Why no browser test can run here; None where they can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (it is in the dependency group dev)"
    if find_chromium() is None:
        return "no Chromium here: apt-get install chromium, or name one in LASH_TEST_CHROMIUM"
    return None
