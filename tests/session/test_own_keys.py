"""Whether the kit's own keys of the session fit together, and what they need is there."""

from __future__ import annotations

import time
import typing as t
from datetime import timedelta
from types import SimpleNamespace

import pytest

from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.own_keys import CHECKS, DAY
from flask_ctxkit.session.revocation import Revoker
from flask_ctxkit.session.revocations.memory import MemoryRevocations
from flask_ctxkit.session.settings import Problem, Settings
from flask_ctxkit.session.timeouts import Timeouts

MONTH: t.Final = timedelta(days=31)


def problems(lifetime: t.Any = MONTH, **abilities: t.Any) -> dict[str, Problem]:
    interface = CtxSessionInterface()
    for name, value in abilities.items():
        setattr(interface, name, value)
    settings = Settings(lifetime=lifetime, interface=interface)
    found = [problem for look in CHECKS for problem in look(settings)]
    assert all(p.fix and p.message.endswith(".") and p.setting for p in found)
    return {problem.code: problem for problem in found}


def severities(*args: t.Any, **abilities: t.Any) -> dict[str, str]:
    return {code: problem.severity for code, problem in problems(*args, **abilities).items()}


def test_an_interface_without_abilities_has_no_problem() -> None:
    assert problems() == {}
    assert not [p for look in CHECKS for p in look(Settings(interface=None))]


@pytest.mark.parametrize(
    ("limits", "codes"),
    [
        (Timeouts(idle=3600), set()),
        (Timeouts(idle=31 * DAY), set()),  # the same, but for when it is signed anew
        (Timeouts(idle=31 * DAY + 1), {"idle-long"}),
        (Timeouts(idle=60, absolute=61), set()),
        (Timeouts(idle=60, absolute=60), {"absolute-short"}),
        (Timeouts(idle=60, reissue=59), set()),
        (Timeouts(idle=60, reissue=60), {"reissue-late"}),
        (Timeouts(absolute=60, reissue=61), {"reissue-late"}),
        (Timeouts(reissue=31 * DAY), {"reissue-late"}),
        (Timeouts(reissue=31 * DAY - 1), set()),
        (Timeouts(absolute=90 * DAY), set()),
    ],
)
def test_no_limit_makes_another_useless(limits: Timeouts, codes: set[str]) -> None:
    assert problems(timeouts=limits).keys() == codes


@pytest.mark.parametrize("lifetime", [None, "x", object(), float("inf"), float("nan"), True])
def test_a_lifetime_that_is_none_raises_nothing(lifetime: t.Any) -> None:
    found = Timeouts(idle=60, absolute=70, reissue=6)
    encryption = SimpleNamespace(read_signed_until=int(time.time()) + 5)
    problems(lifetime, timeouts=found, resign=5, encryption=encryption)


def test_a_lifetime_in_seconds_counts_as_well() -> None:
    assert severities(60, timeouts=Timeouts(idle=61)) == {"idle-long": "warning"}
    assert severities(60.9, resign=61) == {"resign-late": "warning"}
    assert severities(61, resign=61) == {}


def test_many_parts_may_not_reach_the_server() -> None:
    assert problems(size="split", parts=2) == {}
    assert severities(size="split", parts=3) == {"split-many": "note"}
    assert "12 KiB" in problems(size="split", parts=3)["split-many"].message
    assert problems(size="error", parts=9) == {}


def test_an_encrypted_session_grows() -> None:
    encryption = SimpleNamespace(read_signed_until=None)
    assert severities(encryption=encryption) == {"encrypt-large": "note"}
    assert problems(encryption=encryption, size="error") == {}
    assert problems(encryption=encryption, size="split") == {}


@pytest.mark.parametrize(
    ("left", "found"),
    [
        (-5, {"encrypt-window-over": "note"}),
        (30 * DAY, {}),
        (32 * DAY - 60, {}),
        (32 * DAY + 60, {"encrypt-window-long": "warning"}),
        (10**15, {"encrypt-window-long": "warning"}),
    ],
)
def test_the_window_for_signed_cookies(left: int, found: dict[str, str]) -> None:
    """It ends with the last cookie from before, or a day later."""
    encryption = SimpleNamespace(read_signed_until=int(time.time()) + left)
    assert severities(encryption=encryption, size="error") == found


class Shared(MemoryRevocations):
    """A store that all workers share, and that may be down."""

    shared = True
    down = False
    asked = 0

    def revoked_before(self, user: str) -> int | None:
        self.asked += 1
        if self.down:
            raise ConnectionError("no route")
        return super().revoked_before(user)


def test_a_store_that_is_down_is_an_error_and_says_what_happens() -> None:
    for mode, effect in (("open", "are taken"), ("closed", "are refused")):
        store = Shared()
        store.down = True
        found = problems(revoker=Revoker(store, ["user_id"], t.cast("t.Any", mode)))
        assert {c: p.severity for c, p in found.items()} == {"revocations-down": "error"}
        assert "ConnectionError" in found["revocations-down"].message
        assert effect in found["revocations-down"].message


def test_failing_open_is_a_note_and_failing_closed_is_sound() -> None:
    assert severities(revoker=Revoker(Shared(), ["user_id"])) == {"revocations-open": "note"}
    assert problems(revoker=Revoker(Shared(), ["user_id"], "closed")) == {}


def test_revocations_in_memory_are_of_one_process() -> None:
    revoker = Revoker(MemoryRevocations(), ["user_id"], "closed")
    assert severities(revoker=revoker) == {"revocations-unshared": "note"}


def test_a_store_that_is_down_is_not_asked_again_at_once() -> None:
    """Each look would wait for it."""
    store = Shared()
    store.down = True
    revoker = Revoker(store, ["user_id"])
    assert [revoker.probe() for _ in range(3)] == ["ConnectionError"] * 3
    assert store.asked == 1
