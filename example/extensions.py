"""What the app extends Flask with."""

from __future__ import annotations

from flask_ctxkit import CtxKit

kit = CtxKit()
