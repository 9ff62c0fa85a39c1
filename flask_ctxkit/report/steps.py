"""What became of a session in four steps: cookie, verified, decoded, saved."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Row = dict[str, t.Any]
State = t.Literal["ok", "note", "bad", "none", "unknown"]
"""``none``: the step was not taken, and needn't be. ``unknown``: it can't be seen."""

READ: t.Final = frozenset({"valid", "valid-fallback", "valid-signed", "revocation-unchecked"})
KEPT: t.Final = frozenset(
    {"saved", "nested-saved", "split", "reissued", "re-signed", "unchanged", "deleted"}
)
NOT_LOOKED_AT: t.Final = frozenset({"absent", "untouched", "no-key"})
_BY_SEVERITY: t.Final[Mapping[str, State]] = {
    "ok": "ok", "note": "note", "warning": "bad", "error": "bad",
}  # fmt: skip
_SEVERITIES: t.Final = ("ok", "note", "warning", "error")


class Facts(t.TypedDict, total=False):
    """What is known beside the verdicts. Each may be missing.

    ``names``: how many keys the session holds. ``length``: characters of the cookie that
    came. ``state``: that of the trace's session. ``unseen``: why there are no verdicts.
    ``trial``: nothing was saved, it was only tried what would become of a change.
    ``lent``: whose session it is, and what becomes of changes, where no cookie was read for it.
    """

    names: int
    length: int
    state: str
    unseen: str
    trial: bool
    lent: tuple[str, str]


def steps(verdicts: Iterable[Mapping[str, t.Any]], facts: Facts) -> list[Row]:
    """The four steps, each with its state, a few words, and the sentence of its verdict."""
    if "lent" in facts:
        return _lent(*facts["lent"])
    told = list(verdicts)
    opening = _last(told, "open")
    saving = _worst(told, "save")
    return [
        _cookie(opening, facts),
        _verified(opening, facts),
        _decoded(opening, facts),
        _saved(saving, facts),
    ]


def was_refused(verdict: Mapping[str, t.Any]) -> bool:
    """Whether *verdict* is of a cookie that came and was not taken."""
    return verdict.get("step") == "open" and verdict.get("code") not in READ | NOT_LOOKED_AT


def was_not_saved(verdict: Mapping[str, t.Any]) -> bool:
    """Whether *verdict* is of a session that was not saved, or whose cookie is dropped."""
    return verdict.get("step") == "save" and verdict.get("code") not in KEPT


def words(code: str) -> str:
    """A verdict's code in words."""
    return code.replace("-", " ")


def _last(told: Sequence[Mapping[str, t.Any]], step: str) -> Mapping[str, t.Any] | None:
    return next((v for v in reversed(told) if v.get("step") == step), None)


def _worst(told: Sequence[Mapping[str, t.Any]], step: str) -> Mapping[str, t.Any] | None:
    found = [v for v in told if v.get("step") == step]
    return max(found, key=lambda v: _SEVERITIES.index(v["severity"]), default=None)


def _step(
    name: str,
    state: State,
    text: str,
    verdict: Mapping[str, t.Any] | None = None,
    message: str = "",
) -> Row:
    told = {} if verdict is None else verdict
    fix = str(told.get("fix", ""))
    return {
        "step": name,
        "state": state,
        "text": text,
        "code": told.get("code"),
        "severity": told.get("severity", "ok"),
        "message": message or told.get("message", ""),
        "fix": fix if state in {"bad", "note"} and not fix.startswith("Nothing") else "",
    }


def _evidence(verdict: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    return t.cast("Mapping[str, t.Any]", verdict.get("evidence") or {})


def _cookie(opening: Mapping[str, t.Any] | None, facts: Facts) -> Row:
    if opening is None:
        return _unopened(facts)
    code, evidence = opening["code"], _evidence(opening)
    if code == "absent":
        return _step("cookie", "none", "none came", opening)
    if code == "no-key":
        return _step("cookie", "none", "not read", opening)
    length = facts.get("length") or evidence.get("length")
    size = f"{length:,} bytes" if isinstance(length, int) else "came"
    pieces = evidence.get("cookies")
    size += f" in {pieces} cookies" if isinstance(pieces, int) else ""
    count = evidence.get("count", 1)
    if isinstance(count, int) and count > 1:
        return _step("cookie", "note", f"{count} of one name", message="The first one counts.")
    return _step("cookie", "ok", size, message="The request brought a session cookie.")


def _unopened(facts: Facts) -> Row:
    length = facts.get("length")
    if length:
        return _step("cookie", "ok", f"{length:,} bytes", message="A cookie of that name came.")
    if facts.get("state") == "absent" or length == 0:
        return _step("cookie", "none", "none came", message="No cookie of that name came.")
    return _step("cookie", "unknown", "unknown", message=facts.get("unseen", ""))


def _verified(opening: Mapping[str, t.Any] | None, facts: Facts) -> Row:
    if opening is None:
        return _unseen("verified", facts)
    code, evidence = opening["code"], _evidence(opening)
    key = evidence.get("key")
    if code in NOT_LOOKED_AT:
        state, text = ("note", "no key") if code == "no-key" else ("none", "not needed")
        shown = opening if code != "absent" else None
        return _step("verified", t.cast("State", state), text, shown)
    if code in READ:
        number = evidence.get("number")
        named = f"fallback {number}" if number else "key"
        text = f"{named} {key}" if key else "signed"
        return _step("verified", "note" if number else "ok", text, opening)
    if code == "undecodable":
        return _step("verified", "ok", f"key {key}" if key else "signed",
                     message="The signature is right.")  # fmt: skip
    return _step("verified", "bad", words(code), opening)


def _decoded(opening: Mapping[str, t.Any] | None, facts: Facts) -> Row:
    names = facts.get("names")
    if opening is None:
        if names is None or facts.get("state") in {"absent", "untouched"}:
            return _unseen("decoded", facts)
        return _step("decoded", "ok", _keys(names), message=f"The session holds {_keys(names)}.")
    code = opening["code"]
    if code in READ:
        told = "" if names is None else f"The session held {_keys(names)}."
        return _step("decoded", "ok", "read" if names is None else _keys(names), message=told)
    if code == "undecodable":
        return _step("decoded", "bad", "undecodable", opening)
    if code in NOT_LOOKED_AT:
        empty = "" if code == "untouched" else "The session began empty."
        return _step("decoded", "none", "not needed", message=empty)
    return _step("decoded", "none", "not read", message="The session began empty.")


def _keys(number: int) -> str:
    return f"{number} key" + ("" if number == 1 else "s")


def _lent(whose: str, fate: str) -> list[Row]:
    return [
        _step("cookie", "none", "not read", message=whose),
        _step("verified", "none", "not needed"),
        _step("decoded", "none", "not needed"),
        _step("saved", "none", "not here", message=fate),
    ]


def _unseen(name: str, facts: Facts) -> Row:
    if facts.get("state") in {"absent", "untouched"}:
        return _step(name, "none", "not needed")
    return _step(name, "unknown", "unknown", message=facts.get("unseen", ""))


def _saved(saving: Mapping[str, t.Any] | None, facts: Facts) -> Row:
    if saving is None:
        return _no_saving(facts)
    code, evidence = saving["code"], _evidence(saving)
    size = evidence.get("size")
    sized = f"{size:,} bytes" if isinstance(size, int) else words(code)
    count = evidence.get("count")
    if code == "split" and isinstance(count, int):
        sized += f" in {count} cookies"
        if facts.get("trial"):
            told = f"A change would be saved: {sized}."
            return _step("saved", "note", f"would be: {sized}", saving, told)
    if facts.get("trial") and code == "saved":
        told = f"A change would be saved: a Set-Cookie header of {sized}."
        return _step("saved", "ok", f"would be: {sized}", message=told)
    if code in KEPT:
        text = sized if code in {"saved", "nested-saved", "split"} else words(code)
        return _step("saved", "none" if code == "unchanged" else "ok", text, saving)
    return _step("saved", _BY_SEVERITY[saving["severity"]], words(code), saving)


def _no_saving(facts: Facts) -> Row:
    state = facts.get("state")
    if state in {"absent", "untouched"}:
        return _step("saved", "none", "nothing to save", message="Nothing touched the session.")
    if state == "running":
        return _step("saved", "none", "not yet", message="The request still runs.")
    return _step("saved", "unknown", "unknown", message=facts.get("unseen", ""))
