"""Captured headers and WSGI variables: what comes again is copied once, and no secret is kept."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit.redact import Redactor
from flask_ctxkit.trace.captures import HARMLESS, LONG, PLANS, TOTAL, VARIABLES, Captures, joined

SECRET: t.Final = "s3cr3t-0123456789abcdef"
PLAIN: t.Final = [("Content-Type", "text/html"), ("Content-Length", "12")]


@pytest.fixture
def captures() -> Captures:
    return Captures(Redactor())


def test_equal_headers_without_a_secret_are_one_object(captures: Captures) -> None:
    """So that a step that changed nothing is seen without a comparison."""
    first = captures.headers(PLAIN)
    assert first == tuple(PLAIN)
    assert captures.headers([(name, str(value)) for name, value in PLAIN]) is first
    assert captures.headers(PLAIN[:1]) == tuple(PLAIN[:1])
    assert captures.headers([]) == ()


@pytest.mark.parametrize("name", ["Set-Cookie", "Authorization", "X-Api-Key"])
def test_a_list_with_a_secret_is_not_kept(captures: Captures, name: str) -> None:
    """Neither in what is handed out, nor in what is remembered."""
    pairs = [*PLAIN, (name, f"session={SECRET}; Path=/")]
    for _ in range(2):
        assert SECRET not in repr(captures.headers(pairs))
    assert SECRET not in repr(vars(captures))


def test_a_cookie_that_comes_again_is_redacted_once(captures: Captures) -> None:
    """It is known by its hash; another one of the same length is another one."""
    one, two = ({"HTTP_COOKIE": f"session={SECRET}{n}"} for n in (1, 2))
    first = joined(captures.environ(one))["HTTP_COOKIE"]
    assert joined(captures.environ({**one}))["HTTP_COOKIE"] is first
    assert joined(captures.environ(two))["HTTP_COOKIE"] != first
    assert SECRET not in repr(vars(captures))
    assert SECRET not in repr(first)


def test_only_text_is_captured_of_an_environ(captures: Captures) -> None:
    """A subclass of str may do anything when it is asked, so it is left out."""

    class Loud(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __hash__(self) -> int:
            raise AssertionError

    environ = {"REQUEST_METHOD": "GET", "wsgi.input": object(), "X": Loud("x"), "HTTP_A": "b"}
    assert joined(captures.environ(environ)) == {"REQUEST_METHOD": "GET", "HTTP_A": "b"}


def test_what_a_client_sends_with_each_request_is_captured_once(captures: Captures) -> None:
    """Only what differs from one of its requests to the next is captured for each."""
    client = {"HTTP_USER_AGENT": "x/1", "HTTP_HOST": "h", "HTTP_AUTHORIZATION": f"Basic {SECRET}"}
    first, second = ({**client, "PATH_INFO": f"/{n}", "REMOTE_PORT": str(n)} for n in (1, 2))
    one, two = captures.environ(first), captures.environ(second)
    assert one[0] is two[0]
    assert joined(two).items() >= {"PATH_INFO": "/2", "REMOTE_PORT": "2", "HTTP_HOST": "h"}.items()
    assert SECRET not in repr((one, vars(captures)))


def test_equal_values_under_other_names_are_other_variables(captures: Captures) -> None:
    """And so are equal names whose values are of other types."""
    assert joined(captures.environ({"HTTP_A": "x", "HTTP_B": "y"})) == {
        "HTTP_A": "x",
        "HTTP_B": "y",
    }
    assert joined(captures.environ({"HTTP_C": "x", "HTTP_D": "y"})) == {
        "HTTP_C": "x",
        "HTTP_D": "y",
    }
    assert joined(captures.environ({"HTTP_A": "x", "HTTP_B": None})) == {"HTTP_A": "x"}
    assert joined(captures.environ({"HTTP_A": None, "HTTP_B": "x"})) == {"HTTP_B": "x"}
    assert joined(captures.environ({"HTTP_A": "x", "HTTP_B": "y"})) == {
        "HTTP_A": "x",
        "HTTP_B": "y",
    }
    assert joined(captures.environ({})) == {}


def test_what_a_middleware_added_is_left_out(captures: Captures) -> None:
    """The redactor knows which variables are of CGI and HTTP, and shows no other."""
    assert joined(captures.environ({"myapp.token": SECRET, "HTTP_A": "b"})) == {"HTTP_A": "b"}


def test_a_huge_environ_is_cut(captures: Captures) -> None:
    """With a count of what is missing."""
    environ = {f"HTTP_X_{n}": "1" for n in range(VARIABLES + 7)}
    captured = joined(captures.environ(environ))
    assert (len(captured), captured["$cut"]) == (VARIABLES + 1, 7)


def test_what_is_remembered_has_an_end(captures: Captures) -> None:
    """Whatever comes: lists of headers, variables with and without secrets, long ones."""
    for n in range(2 * HARMLESS + 5):
        captures.headers([("ETag", str(n))])
        captures.environ({"HTTP_COOKIE": f"session={SECRET}{n}", "HTTP_X": str(n)})
        captures.environ({f"HTTP_X_{n}": "x"})
        captures.path(f"/{n}")
    assert all(len(known) <= HARMLESS for known in vars(captures).values() if type(known) is dict)
    assert len(vars(captures)["_plans"]) <= PLANS
    long = "/" + "x" * LONG
    assert captures.path(long) == long
    assert long not in repr(vars(captures))


def test_what_a_client_makes_up_at_length_is_not_remembered(captures: Captures) -> None:
    """Neither many names of headers nor long texts: else a client could fill the memory."""
    many = {f"HTTP_{'X' * 50}_{n}": "x" for n in range(TOTAL // 50)}
    for environ in (many, {"HTTP_A": "x " * TOTAL, "HTTP_B": "x"}):
        assert joined(captures.environ(environ)).keys() == environ.keys()
    assert [*vars(captures)["_plans"]] == [("HTTP_A", "HTTP_B")]
    assert vars(captures)["_shared"] == {}


def test_a_path_with_a_secret_is_not_kept(captures: Captures) -> None:
    """Such as the token in a link that a mail carries."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    assert token not in captures.path(f"/reset/{token}")
    assert token not in repr(vars(captures))
