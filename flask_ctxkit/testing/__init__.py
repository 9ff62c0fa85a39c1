"""For tests: what a context leaves behind, what was traced, and what a session says.

The fixtures of :mod:`flask_ctxkit.pytest_plugin` hand these out. Nothing is imported here, so
that a test run pays only for what it uses.
"""

MODES = ("error", "warn", "off")
"""What can be done about a test that leaves a context pushed."""
