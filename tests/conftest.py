"""What every test shares: on CI, a test that needs a tool may not be skipped for want of it."""

from __future__ import annotations

import os
import typing as t

import pytest

NEEDY = ("browser", "server", "service", "index")
"""Marks of tests that skip themselves where the machine lacks what they need."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where ``CTXKIT_REQUIRE_ALL`` promises all tools."""
    report = yield
    needs = any(item.get_closest_marker(mark) for mark in NEEDY)
    if report.skipped and needs and os.environ.get("CTXKIT_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped although CTXKIT_REQUIRE_ALL is set: {report.longrepr}"
    return report
