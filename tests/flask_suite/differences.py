"""The tests of Flask's own suite that can't end with a kit as they do without, and why.

Each is one of the deliberate differences that the README lists under "Neutrality".
"""

from __future__ import annotations

import typing as t

KNOWN: t.Final[dict[str, str]] = {}
"""The name of a test, and the reason why its outcome differs."""
