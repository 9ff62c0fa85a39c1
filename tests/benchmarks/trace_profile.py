"""Where the cost of a full trace is, function by function.

    python tests/benchmarks/trace_profile.py [CASE] [--top N]

Counts the bytecodes that a request runs with a full trace, less those that it runs with
tracing off. Unlike a clock, the count is the same on each run, also on a busy machine. What
runs in C counts for nothing, so it says where Python's time goes, not how much that is:
``request_cost.py`` measures that.
"""

from __future__ import annotations

import argparse
import gc
import sys
import typing as t
from collections import Counter
from pathlib import Path

if __package__:
    from . import request_cost
else:  # run as a file
    import request_cost  # type: ignore[import-not-found,no-redef]

Function = tuple[str, str]
WARM: t.Final = 300
"""Requests before the counted one: caches are warm, and the store is full."""


def profile(case: str) -> Counter[Function]:
    """The bytecodes that each function runs more with a full trace, in one request."""
    counted = bytecodes("trace", case)
    counted.subtract(bytecodes("off", case))
    return counted


def bytecodes(variant: str, case: str) -> Counter[Function]:
    """The bytecodes that each function runs in one request of *case*."""
    app = request_cost.make_app(variant)
    path, sends = request_cost.CASES[case]
    cookie = request_cost.cookie_of(app) if sends else None
    for _ in range(WARM):
        request_cost.call(app, path, cookie)
    counted: Counter[Function] = Counter()

    def trace(frame: t.Any, event: str, _: object) -> t.Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counted[_name(frame.f_code)] += 1
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what is finalized meanwhile would count as the request's
    sys.settrace(trace)
    try:
        request_cost.call(app, path, cookie)
    finally:
        sys.settrace(before)
        gc.enable()
    return counted


def _name(code: t.Any) -> Function:
    # Python 3.10 has no qualified names here.
    return "/".join(Path(code.co_filename).parts[-2:]), getattr(code, "co_qualname", code.co_name)


def main(argv: t.Sequence[str] | None = None) -> Counter[Function]:
    """Count, print, and return the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("case", nargs="?", default="json", choices=[*request_cost.CASES])
    parser.add_argument("--top", type=int, default=30)
    given = parser.parse_args(argv)
    if sys.version_info >= (3, 12):  # PEP 669: a tracer that is set in the middle hears of few
        parser.error("Bytecodes can be counted up to Python 3.11. Run it with Python 3.10 or 3.11.")
    counted = profile(given.case)
    more = sum(count for count in counted.values() if count > 0)
    less = -sum(count for count in counted.values() if count < 0)
    print(f"{more} bytecodes more with a full trace, {less} less: what it saves of Flask's own")
    for (file, name), count in counted.most_common(given.top):
        print(f"{count:6}  {count / more:5.1%}  {file}  {name}")
    return counted


if __name__ == "__main__":
    main()
