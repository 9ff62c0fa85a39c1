"""A session that one cookie can't hold: warned of, refused, or split into several."""

from __future__ import annotations

import json
import random
import string
import typing as t
from unittest import mock

import pytest
from flask import Flask, session
from flask.json.tag import TaggedJSONSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from flask_ctxkit import CtxKit, SessionTooLargeError
from flask_ctxkit.session import budget, split
from flask_ctxkit.session.delivery import BUDGET
from flask_ctxkit.session.headers import Cookie

if t.TYPE_CHECKING:
    from flask_ctxkit.session.model import Verdict

ALPHABET = f"{string.ascii_letters}{string.digits}-_"
ATTRIBUTES: dict[str, t.Any] = {
    "domain": None, "path": "/", "secure": False, "samesite": None, "httponly": True,
}  # fmt: skip


def noise(size: int) -> str:
    """Text that doesn't compress, and is the same in each run."""
    return "".join(random.Random(size).choices(ALPHABET, k=size))


class Site:
    """An app whose one view writes so many characters, one visitor, and the verdicts."""

    def __init__(self, size: str, **config: t.Any) -> None:
        app = self.app = Flask("app")
        app.secret_key = "k"
        app.config.update({"TESTING": True, "CTXKIT_SESSION_SIZE": size, **config})
        CtxKit(app)
        interface: t.Any = app.session_interface
        self.interface = interface
        self.verdicts: list[Verdict] = []
        self.interface.on_verdict = self.verdicts.append

        @app.get("/write/<int:size>")
        def write(size: int) -> str:
            session["text"], session["small"] = noise(size), 1
            return ""

        app.add_url_rule("/read", "read", lambda: session.get("text", "nothing"))
        app.add_url_rule("/plain", "plain", lambda: "")

        @app.get("/empty")
        def empty() -> str:
            session.clear()
            return ""

        self.client = app.test_client()

    def write(self, size: int) -> list[str]:
        return self.client.get(f"/write/{size}").headers.getlist("Set-Cookie")

    def read(self) -> str:
        return str(self.client.get("/read").text)

    def cookie(self, name: str) -> str:
        found = self.client.get_cookie(name)
        assert found is not None
        return found.value

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in (self.client._cookies or {}).values()}

    @property
    def names(self) -> set[str]:
        return {*self.cookies}

    def read_with(self, **changed: str) -> str:
        """What another visitor reads with these cookies, some of them changed."""
        cookies = {**self.cookies, **{k.replace("_", "."): v for k, v in changed.items()}}
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        stranger = self.app.test_client(use_cookies=False)
        return str(stranger.get("/read", headers={"Cookie": header}).text)

    @property
    def codes(self) -> list[str]:
        return [verdict.code for verdict in self.verdicts]


# --------------------------------------------------------------------------------- error


def test_by_default_a_large_cookie_is_sent_with_flasks_warning() -> None:
    site = Site("warn")
    with pytest.warns(UserWarning, match="cookie is too large"):
        (header,) = site.write(6000)
    assert len(header) > BUDGET
    assert "over-budget" in site.codes


def test_a_session_too_large_raises_and_names_the_largest_keys() -> None:
    site = Site("error")
    with pytest.raises(SessionTooLargeError, match=r"Largest keys: text \(6010 bytes\), small"):
        site.write(6000)
    evidence = site.verdicts[-1].evidence
    assert site.codes[-1] == "too-large"
    assert evidence["size"] > evidence["limit"] == BUDGET
    assert "text (6010 bytes)" in site.verdicts[-1].message


@pytest.mark.parametrize("serializer", [json, type("Own", (TaggedJSONSerializer,), {})()])
def test_a_serializer_of_the_apps_own_names_the_largest_keys_too(serializer: t.Any) -> None:
    site = Site("error")
    site.app.session_interface.serializer = serializer  # type: ignore[attr-defined]
    with pytest.raises(SessionTooLargeError, match=r"Largest keys: text \(601[01] bytes\), small"):
        site.write(6000)
    assert site.codes[-1] == "too-large"


def test_the_error_holds_its_evidence_and_says_what_to_do() -> None:
    error = budget.too_large(5000, {"a": 4000, "b": 3, "c": 2, "d": 1}, 0)
    assert error.evidence == {"size": 5000, "limit": 4093, "largest": {"a": 4000, "b": 3, "c": 2}}
    assert str(error).endswith('set CTXKIT_SESSION_SIZE = "split".')
    assert "2 cookies it may be split into hold 8186" in str(budget.too_large(9000, {}, 2))
    assert "Largest keys: unknown" in str(budget.too_large(9000, {}, 2))


def test_a_visitor_gets_a_500_without_a_cookie_and_the_session_from_before() -> None:
    site = Site("error", TESTING=False)
    site.write(10)
    answer = site.client.get("/write/6000")
    assert answer.status_code == 500
    assert "Set-Cookie" not in answer.headers
    assert site.read() == noise(10)


def test_exactly_the_budget_is_sent_and_a_byte_more_is_not() -> None:
    """The whole header counts, with its attributes."""
    for domain in (None, "example.com"):
        attributes = {**ATTRIBUTES, "domain": domain, "path": "/a b"}
        bare = budget.header_size(Cookie("session", "", attributes), None)
        fitting = Cookie("session", "x" * (BUDGET - bare), attributes)
        assert budget.header_size(fitting, None) == BUDGET
        assert budget.fits(fitting, None)
        assert not budget.fits(fitting._replace(value=f"{fitting.value}x"), None)


def test_a_nested_change_that_is_too_large_raises_as_well() -> None:
    site = Site("error", CTXKIT_SESSION_NESTED="save")
    with site.client.session_transaction() as changed:
        changed["list"] = []

    site.app._got_first_request = False  # as if the view had been there before

    @site.app.get("/nest")
    def nest() -> str:
        session["list"].append(noise(6000))
        return ""

    with pytest.raises(SessionTooLargeError, match="list"):
        site.client.get("/nest")


def test_sending_an_unchanged_session_again_is_never_an_error() -> None:
    """A permanent session goes out with each response; one that fewer parts are allowed for
    than it has stays as it is in the browser.
    """
    site = Site("split", CTXKIT_SESSION_PARTS=3)
    with site.client.session_transaction() as changed:
        changed.update(text=noise(9000), _permanent=True)
    site.interface.parts = 2
    answer = site.client.get("/read")
    assert answer.text == noise(9000)
    assert "Set-Cookie" not in answer.headers
    assert site.codes[-1] == "too-large"
    site.interface.parts = 3
    assert len(site.client.get("/read").headers.getlist("Set-Cookie")) == 3


# --------------------------------------------------------------------------------- split


def test_a_large_session_comes_back_from_several_cookies() -> None:
    site = Site("split")
    headers = site.write(6000)
    assert [header.split("=")[0] for header in headers] == ["session", "session.1"]
    assert max(map(len, headers)) <= BUDGET
    assert site.codes[-1] == "split"
    assert site.verdicts[-1].evidence["count"] == 2
    assert site.read() == noise(6000)
    assert site.codes[-2:] == ["valid", "unchanged"]


def test_a_small_session_is_byte_for_byte_flasks() -> None:
    with mock.patch("time.time", return_value=1_700_000_000):
        assert Site("split").write(50) == Site("warn").write(50)


def test_parts_have_the_same_attributes() -> None:
    site = Site(
        "split", SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_NAME="__Host-s", PREFERRED_URL_SCHEME="https",
    )  # fmt: skip
    answer = site.client.get("/write/6000", base_url="https://localhost")
    headers = answer.headers.getlist("Set-Cookie")
    assert [header.split("=")[0] for header in headers] == ["__Host-s", "__Host-s.1"]
    (one, other) = ({*header.split("; ")[1:]} for header in headers)
    assert one == other == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}


def test_parts_are_deleted_when_the_session_shrinks() -> None:
    site = Site("split", CTXKIT_SESSION_PARTS=3)
    site.write(9000)
    assert site.names == {"session", "session.1", "session.2"}
    site.write(5000)
    assert site.names == {"session", "session.1"}
    site.write(50)
    assert site.names == {"session"}
    assert site.read() == noise(50)


def test_all_parts_go_when_the_session_is_emptied() -> None:
    site = Site("split")
    site.write(6000)
    headers = site.client.get("/empty").headers.getlist("Set-Cookie")
    assert [h.split("=")[0] for h in headers] == ["session", "session.1"]
    assert all("Max-Age=0" in header for header in headers)
    assert site.names == set()


def test_only_parts_of_this_session_are_deleted() -> None:
    """Neither cookies that are named alike, nor parts that were not brought."""
    site = Site("split")
    for name in ("session.x", "session.01", "session.10", "other.1", "session.1.1"):
        site.client.set_cookie(name, "1")
    assert len(site.write(10)) == 1
    assert len(site.names) == 6


def test_the_test_clients_transaction_joins_and_splits() -> None:
    site = Site("split")
    with site.client.session_transaction() as opened:
        opened["text"] = noise(6000)
    assert site.names == {"session", "session.1"}
    assert site.read() == noise(6000)
    with site.client.session_transaction() as opened:
        assert opened["text"] == noise(6000)
        opened["text"] = "x"
    assert site.names == {"session"}


@pytest.mark.parametrize("part", ["session", "session.1"])
def test_a_change_in_any_part_makes_the_whole_invalid(part: str) -> None:
    site = Site("split")
    site.write(6000)
    text = site.cookie(part)
    place = 100
    other = "A" if text[place] != "A" else "B"
    changed = text[:place] + other + text[place + 1 :]
    assert site.read_with(**{part.replace(".", "_"): changed}) == "nothing"


def test_parts_of_two_sessions_make_none() -> None:
    """Each of them is signed; together they are not."""
    one, other = Site("split"), Site("split")
    one.write(6000)
    other.write(6001)
    assert one.read_with(session_1=other.cookie("session.1")) == "nothing"


@pytest.mark.parametrize("count", ["1", "3", "9", "10", "11", "0", "02", "99999999", "-2", ""])
def test_another_count_is_refused(count: str) -> None:
    site = Site("split")
    site.write(6000)
    first = site.cookie("session").removeprefix("~2~")
    assert site.read_with(session=f"~2~{first}") == noise(6000)
    assert site.read_with(session=f"~{count}~{first}") == "nothing"


def test_a_missing_part_is_named() -> None:
    site = Site("split", CTXKIT_SESSION_PARTS=3)
    site.write(9000)
    site.client.delete_cookie("session.2")
    assert site.read() == "nothing"
    told = next(verdict for verdict in site.verdicts if verdict.code == "incomplete")
    assert "session.2 is not among them" in told.message


def test_parts_without_the_first_are_no_session() -> None:
    site = Site("split")
    site.write(6000)
    site.client.delete_cookie("session")
    assert site.read() == "nothing"
    assert site.write(10)[1].startswith("session.1=;"), "the orphan is deleted"


def test_a_first_part_alone_never_verifies() -> None:
    """Whatever stands in it: a whole cookie behind the mark needs the parts it speaks of."""
    site = Site("split")
    site.write(50)
    assert site.read_with(session=f"~2~{site.cookie('session')}") == "nothing"


def test_more_than_the_allowed_parts_is_an_error() -> None:
    site = Site("split")
    with pytest.raises(SessionTooLargeError, match="raise CTXKIT_SESSION_PARTS"):
        site.write(9000)
    site = Site("split", CTXKIT_SESSION_PARTS=10)
    site.write(38_000)
    assert len(site.names) == 10
    assert site.read() == noise(38_000)


def test_fewer_allowed_parts_still_read_what_there_is() -> None:
    site = Site("split", CTXKIT_SESSION_PARTS=4)
    site.write(11_000)
    site.interface.parts = 2
    assert site.read() == noise(11_000)


def test_attributes_that_leave_no_room_are_an_error_and_no_endless_loop() -> None:
    site = Site("split", SESSION_COOKIE_PATH="/" + "p" * 4100)
    with pytest.raises(SessionTooLargeError):
        site.client.get("/write/6000")


def test_switched_off_a_split_session_is_refused_as_flask_refuses_it() -> None:
    site = Site("split")
    site.write(6000)
    site.interface.size = "warn"
    assert site.read() == "nothing"


def test_an_untouched_split_session_costs_no_cookie() -> None:
    site = Site("split")
    site.write(6000)
    answer = site.client.get("/plain")
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers


def test_flasks_own_serializer_splits_too() -> None:
    """Where an app brings a serializer of its own."""

    class Own(TaggedJSONSerializer):
        pass

    site = Site("split")
    site.interface.serializer = Own()
    site.write(6000)
    assert site.names == {"session", "session.1"}
    assert site.read() == noise(6000)
    site.client.delete_cookie("session.1")
    assert site.read() == "nothing"


def test_a_joined_text_is_what_flasks_serializer_signed() -> None:
    site = Site("split")
    site.write(6000)
    whole = site.cookie("session")[3:] + site.cookie("session.1")
    serializer = site.interface.get_signing_serializer(site.app)
    assert isinstance(serializer, URLSafeTimedSerializer)
    assert serializer.loads(whole)["text"] == noise(6000)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30_000), st.sampled_from(["s", "__Host-session", "n" * 300]))
def test_what_is_cut_is_joined(size: int, name: str) -> None:
    """In parts that are each within the budget."""
    value = noise(size)
    parts = split.cut(Cookie(name, value, ATTRIBUTES), None)
    assert all(budget.header_size(part, None) <= BUDGET for part in parts)
    if 1 < len(parts) <= split.MOST:
        rest = {part.name: part.value for part in parts[1:]}
        assert split.join(parts[0].value, name, rest) == (value, None)


@settings(max_examples=200, deadline=None)
@given(
    st.text("~0123456789.aA", max_size=30),
    st.dictionaries(st.sampled_from(["s.1", "s.2", "s.9"]), st.text("~2aA.", max_size=9)),
)
def test_joining_what_anybody_sends_never_raises(text: str, cookies: dict[str, str]) -> None:
    joined, missing = split.join(text, "s", cookies)
    assert isinstance(joined, str)
    assert missing is None or joined == text
