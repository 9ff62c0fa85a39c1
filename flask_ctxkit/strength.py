"""How strong a secret key is: its size, and whether everybody knows it."""

from __future__ import annotations

import typing as t

LEAST: t.Final = 32
"""Bytes that a key should have."""
POOR: t.Final = 16
"""Bytes below which a key can be guessed."""
DEFAULTS: t.Final = frozenset(
    "dev,development,secret,secret key,secret_key,secretkey,secret-key,supersecret,"  # noqa: SIM905  # words
    "super secret,super secret key,super-secret,super-secret-key,super_secret_key,mysecret,"
    "my secret,mysecretkey,my_secret_key,my-secret-key,changeme,change me,change-me,"
    "change_me,change this,changethis,change-this,change-me-in-production,default,key,"
    "password,test,testing,test key,123456,12345678,1234567890,you-will-never-guess,"
    "hard to guess string,hard-to-guess-string,a secret,a very secret key,your-secret-key,"
    "your_secret_key,your secret key,your-secret-key-here,your_secret_key_here,"
    "thisisasecret,this is a secret,thisisasecretkey,this-is-a-secret-key,not-a-secret,"
    "insecure,flask-secret-key,secret!,dev-secret-key,dev_secret_key,dev-key,dev_key,"
    "dev key,secret_key_here,insert-secret-here,a0zr98j/3yx r~xhh!jmn]lwx/,?rt,"
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf".split(",")
)
"""Keys that stand in tutorials, in lower case: whoever forges cookies tries them first."""


def text_of(key: object) -> str | None:
    """*key* as text to compare with known defaults; None if it is of no type for a key."""
    if type(key) is bytes:
        return key.decode("utf-8", "replace")
    return key if type(key) is str else None


def size_of(key: object) -> int:
    """The size of *key* in bytes; 0 if it is of no type for a key."""
    if type(key) is bytes:
        return len(key)
    return len(key.encode("utf-8", "surrogatepass")) if type(key) is str else 0


def is_default(key: object) -> bool:
    """Whether *key* is one that everybody knows."""
    text = text_of(key)
    return text is not None and text.strip().lower() in DEFAULTS
