"""Which names are secret: by segment, with the owner's words and exceptions."""

from __future__ import annotations

import pytest

from flask_ctxkit.redact import Redactor
from flask_ctxkit.redact.names import SecretNames

SECRET = {
    "password": "password",
    "db_password": "password",
    "dbPassword": "password",
    "PASSWORDS": "password",
    "password2": "password",
    "pAssWord": "password",
    "PGPASSWORD": "password",
    "passwd": "passwd",
    "userPwd": "pwd",
    "user.secret": "secret",
    "SECRET_KEY": "secret",
    "user[token]": "token",
    "accesstoken": "token",
    "refresh-token": "token",
    "X-Api-Key": "api key",
    "apiKey": "api key",
    "apikey": "apikey",
    "APIkey": "apikey",
    "APIKeys": "api key",
    "signingKey": "signing key",
    "csrfToken": "csrf",
    "_csrf_token": "csrf",
    "csrfmiddleware": "csrf",
    "XSRF-TOKEN": "xsrf",
    "Proxy-Authorization": "authorization",
    "Set-Cookie": "cookie",
    "aws_credentials": "credential",
    "private_notes": "private",
    "X-Hub-Signature": "signature",
    "credit_card": "card",
    "ssn": "ssn",
    "sessionid": "sessionid",
    "session_id": "session id",
    "sessionKey": "session key",
    "straßenPasswordÄ": "password",
}

HARMLESS = [
    "tokenizer", "secretary", "passenger", "author", "authors", "authored_at", "compass",
    "discard", "wildcard", "dashboard", "keyboard", "monkey", "key", "primary_key", "cache_key",
    "session", "user_id", "id", "", "_", "$", "spinner", "signal", "design", "cart", "encoding",
    "cookbook", "tokyo", "passive", "privates_", "x" * 500, "наименование",
]  # fmt: skip


@pytest.mark.parametrize(("name", "word"), SECRET.items())
def test_a_secret_segment_makes_a_name_secret(name: str, word: str) -> None:
    """In any case, at any separator, and at the end of words written without a gap."""
    assert Redactor().secret_name(name) == f'name contains "{word}"'


@pytest.mark.parametrize("name", [name for name in HARMLESS if name != "privates_"])
def test_a_word_that_only_looks_like_a_secret_one_is_harmless(name: str) -> None:
    """``tokenizer`` begins like ``token`` and is none."""
    assert Redactor().secret_name(name) is None


def test_the_owner_adds_words() -> None:
    """As segments, in any case, of one word or of several in a row, and also in the plural."""
    redactor = Redactor(words=("tax id", "Passport", "plateNumber"))
    assert redactor.secret_name("user_tax_id") == 'name contains "tax id"'
    assert redactor.secret_name("taxid") == 'name contains "tax id"'
    assert redactor.secret_name("passports") == 'name contains "passport"'
    assert redactor.secret_name("PLATE-NUMBER") == 'name contains "plate number"'
    assert redactor.secret_name("syntax_id") is None
    assert redactor.secret_name("tax_or_id") is None
    assert redactor.secret_name("csrf") is not None


def test_the_owner_allows_names() -> None:
    """The whole name, without case and separators; other names with that word stay secret."""
    redactor = Redactor(words=("deck",), allow=("card_title", "deck"))
    assert redactor.secret_name("cardTitle") is None
    assert redactor.secret_name("CARD-TITLE") is None
    assert redactor.secret_name("deck") is None
    assert redactor.secret_name("deck_name") is not None
    assert redactor.secret_name("card_title_token") is not None


def test_an_allowed_name_still_hides_a_secret_value() -> None:
    """To allow a name is to vouch for the name only."""
    captured = Redactor(allow=("token_kind",)).capture("token_kind", "Bearer abc123")
    assert captured["$hidden"] == "looks like a Bearer or Basic credential"


@pytest.mark.parametrize("word", ["", "_", "!?"])
def test_a_word_without_letters_hides_nothing(word: str) -> None:
    """It must not match everything."""
    redactor = Redactor(words=(word,), allow=(word,))
    assert redactor.secret_name("cart") is None
    assert redactor.secret_name("") is None
    assert redactor.secret_name("token") is not None


def test_a_name_too_long_to_judge_is_secret() -> None:
    """A dict with texts as keys must not take long, nor show what a long key may be about."""
    redactor = Redactor()
    assert redactor.secret_name("a" * 2001) == "name is too long to judge"
    assert redactor.secret_name("a" * 10_000_000) == "name is too long to judge"
    assert redactor.secret_name("a" * 1990 + "_token") == 'name contains "token"'


def test_what_is_remembered_has_an_end() -> None:
    """Names come from requests: a client that invents them can't fill the memory."""
    names = SecretNames()
    for n in range(20_000):
        names.reason(f"name_{n}")
        names.reason("x" * 1000 + str(n))
    assert len(names._reasons) <= 4096
    assert max(map(len, names._reasons)) <= 200
    assert names.reason("name_1_token") == 'name contains "token"'


def test_a_name_of_a_users_class_is_read_as_its_text() -> None:
    """Without calling what the class overrides."""

    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise AssertionError

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def lower(self) -> str:
            return "harmless"

    redactor = Redactor()
    assert redactor.secret_name(Name("csrf_token")) == 'name contains "csrf"'
    assert redactor.capture(Name("csrf_token"), "x")["$hidden"] == 'name contains "csrf"'
    assert redactor.capture(Name("cart"), "x") == "x"
    assert redactor.failures == 0


def test_a_name_that_is_no_text_never_raises() -> None:
    """What a caller hands in by mistake is read as a key of a dict is."""
    redactor = Redactor()
    assert redactor.secret_name(None) is None  # type: ignore[arg-type]
    assert redactor.capture(3, "x") == "x"  # type: ignore[arg-type]
    assert redactor.capture(object(), "x") == "x"  # type: ignore[arg-type]
