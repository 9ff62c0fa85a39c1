"""``python -m flask_ctxkit``: what ``flask ctx`` is, without the ``flask`` command."""

from __future__ import annotations

from flask.cli import load_dotenv
from flask.helpers import get_load_dotenv

from .cli import ctx

if __name__ == "__main__":
    if get_load_dotenv():
        load_dotenv()  # as "flask" does: CTXKIT_URL may stand in .flaskenv
    ctx.main(prog_name="python -m flask_ctxkit")
