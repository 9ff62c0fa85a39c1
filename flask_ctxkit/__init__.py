"""See Flask's contexts: what is pushed now, what happened, and what is wrong."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
