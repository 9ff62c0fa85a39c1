"""An extension from the days of Flask 1.1, as its author left it: it asks the old stack."""

from __future__ import annotations

import datetime as dt
import typing as t

from flask import _request_ctx_stack  # type: ignore[attr-defined]

if t.TYPE_CHECKING:
    from flask import Flask

NAMES = ("winter", "spring", "summer", "autumn")


class Season:
    def init_app(self, app: Flask) -> None:
        app.context_processor(self.tell_season)

    def tell_season(self) -> dict[str, str]:
        top = _request_ctx_stack.top
        if not hasattr(top, "season"):
            top.season = NAMES[dt.date.today().month % 12 // 3]  # noqa: DTZ011
        return {"season": top.season}
