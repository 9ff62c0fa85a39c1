"""Signals of the kit, sent with the app as the sender."""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

trace_finished = _signals.signal("trace-finished")
"""A context's trace is complete. ``trace``: the :class:`~flask_ctxkit.trace.model.Trace`."""

finding_raised = _signals.signal("finding-raised")
"""A mistake was named. ``finding``: the :class:`~flask_ctxkit.findings.Finding`."""

session_verdict = _signals.signal("session-verdict")
"""A session was opened or saved, or not. ``verdict``: the
:class:`~flask_ctxkit.session.model.Verdict`. Sent in the request, so keep receivers short."""
