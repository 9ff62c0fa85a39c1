"""Secrets in paths: what stands where a URL rule has an argument with a secret name."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .shapes import DOTS

MOST: t.Final = 200
"""How many rules of an app are known at most."""

_ARGUMENT: t.Final = re.compile(r"<(?:(?P<converter>[^<>]*):)?(?P<name>\w+)>")
_SEGMENT: t.Final = r"[^/?#&\s\"']+"
_REST: t.Final = r"[^?#&\s\"']+"
_END: t.Final = r"/?(?=[?#&\s\"']|\Z)"


@dataclass(frozen=True, slots=True)
class SecretPath:
    """A URL rule with a secret in it; no text without ``start`` matches. ``reason`` says which
    name is secret.
    """

    start: str
    pattern: re.Pattern[str]
    replacement: str
    reason: str

    def hidden(self, text: str) -> str:
        """*text* with ``•••`` in place of the secrets in its path."""
        return self.pattern.sub(self.replacement, text) if self.start in text else text

    def is_in(self, text: str) -> bool:
        """Whether *text* has such a secret in it, which is not hidden yet."""
        return self.start in text and self.hidden(text) != text


def secret_path(rule: str, secret: t.Callable[[str], str | None]) -> SecretPath | None:
    """What hides the arguments of *rule* that *secret* is true of; None where there is none.

    Behind an argument of many segments nobody can tell where the next one begins: if one of
    these is secret, all of the rest is hidden. A rule that begins with an argument would match
    any path, so it is left alone.
    """
    kept, groups, reasons, end = "", list[str](), list[str](), 0
    arguments = list(_ARGUMENT.finditer(rule))
    for n, argument in enumerate(arguments):
        kept += re.escape(rule[end : argument.start()])
        end = argument.end()
        # The pattern must be linear in the length of the text, so it ends with the first of
        # many segments.
        rest = argument["converter"] == "path"
        value = _REST if rest else _SEGMENT
        found = [secret(a["name"]) for a in (arguments[n:] if rest else [argument])]
        if any(found):
            groups.append(f"({kept}){value}")
            reasons += filter(None, found)
            kept = ""
        else:
            kept += value
        if rest:
            end = len(rule)
            break
    start = rule.partition("<")[0]
    if not groups or not start.strip("/"):
        return None
    kept += re.escape(rule[end:].rstrip("/"))
    replacement = DOTS.join(rf"\g<{n}>" for n in range(1, len(groups) + 2))
    pattern = re.compile(f"{''.join(groups)}({kept}{_END})")
    return SecretPath(start, pattern, replacement, f"holds an argument of a URL: {reasons[0]}")
