"""An app for command lines that never run it."""

from __future__ import annotations

from lash_worker import App

app = App("good")
