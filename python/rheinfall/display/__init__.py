"""Event display: one HTML file that needs no network and no server (extra `[cli]`)."""

from __future__ import annotations

from rheinfall.display.labels import CLASSES
from rheinfall.display.page import write_display

__all__ = ["CLASSES", "write_display"]
