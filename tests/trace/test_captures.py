"""Captured headers and WSGI variables: what comes again is copied once, and no secret is kept."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit.redact import Redactor
from flask_ctxkit.trace.captures import HARMLESS, LONG, VARIABLES, Captures

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
    first = captures.environ(one)["HTTP_COOKIE"]
    assert captures.environ({**one})["HTTP_COOKIE"] is first
    assert captures.environ(two)["HTTP_COOKIE"] != first
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
    assert captures.environ(environ) == {"REQUEST_METHOD": "GET", "HTTP_A": "b"}


def test_a_huge_environ_is_cut(captures: Captures) -> None:
    """With a count of what is missing."""
    environ = {f"HTTP_X_{n}": "1" for n in range(VARIABLES + 7)}
    captured = captures.environ(environ)
    assert (len(captured), captured["$cut"]) == (VARIABLES + 1, 7)


def test_what_is_remembered_has_an_end(captures: Captures) -> None:
    """Whatever comes: lists of headers, variables with and without secrets, long ones."""
    for n in range(2 * HARMLESS + 5):
        captures.headers([("ETag", str(n))])
        captures.environ({"HTTP_COOKIE": f"session={SECRET}{n}", "HTTP_X": str(n)})
        captures.path(f"/{n}")
    assert all(len(known) <= HARMLESS for known in vars(captures).values() if type(known) is dict)
    long = "/" + "x" * LONG
    assert captures.path(long) == long
    assert long not in repr(vars(captures))


def test_a_path_with_a_secret_is_not_kept(captures: Captures) -> None:
    """Such as the token in a link that a mail carries."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    assert token not in captures.path(f"/reset/{token}")
    assert token not in repr(vars(captures))
