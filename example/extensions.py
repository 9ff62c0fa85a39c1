"""What the app extends Flask with."""

from __future__ import annotations

from flask_ctxkit import CtxKit, install_legacy

kit = CtxKit()

# What Flask 2.3 removed is there while the old extension imports it, and gone for others.
with install_legacy():
    from .season import Season

season = Season()
