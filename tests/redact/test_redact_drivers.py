"""The error of a database driver keeps its words, and loses the values that it quotes."""

from __future__ import annotations

import sqlite3

import pytest

from flask_ctxkit.redact.drivers import is_drivers, words_of


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Duplicate entry 'it's tea' for key 'guest.mail'", "Duplicate entry …"),
        ("Incorrect integer value: 'tea' for column `n`", "Incorrect integer value: …"),
        ('invalid syntax for type integer: "tea"', "invalid syntax for type integer: …"),
        ("(1062, \"Duplicate entry 'tea' for key 'name'\")", "(1062, …"),
        (
            'violates unique constraint "guest_mail"\nDETAIL:  Key (mail)=(tea) already exists.',
            'violates unique constraint "guest_mail" …',
        ),
        ("Key (mail)=(tea) already exists.", "Key (mail …"),
    ],
)  # fmt: skip
def test_what_may_be_a_value_is_left_out(message: str, told: str) -> None:
    """MariaDB escapes no quote in a value, so all that follows goes with it."""
    assert words_of(message) == told


@pytest.mark.parametrize(
    "message",
    [
        "UNIQUE constraint failed: guest.mail",
        "Table 'shop.tea' doesn't exist",
        "Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)",
        'connection to server at "db", port 5432 failed: FATAL:  role "tea" does not exist',
    ],
)
def test_names_stay(message: str) -> None:
    """A name that is quoted after what it is a name of, and an apostrophe in a word."""
    assert words_of(message) == message


def test_which_errors_are_drivers() -> None:
    """By the name that PEP 249 gives their class, since no driver is imported for that."""
    assert is_drivers(sqlite3.IntegrityError("tea"))
    assert not is_drivers(ValueError("tea"))
