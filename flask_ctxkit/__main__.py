"""``python -m flask_ctxkit``: what ``flask ctx`` is, without the ``flask`` command."""

from __future__ import annotations

from .cli import ctx

if __name__ == "__main__":
    ctx.main(prog_name="python -m flask_ctxkit")
