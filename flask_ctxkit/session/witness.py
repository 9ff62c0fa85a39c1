"""Opening and saving a session to look at it: nothing is counted, logged or told to others."""

from __future__ import annotations

import copy
import typing as t

from flask.sessions import SecureCookieSessionInterface

from .interface import CtxSessionInterface
from .judge import Judge
from .model import Verdict

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionInterface

    from .judge import Hears, Proof
    from .model import Step

_READS: t.Final = ("open_session", "save_session", "get_signing_serializer")
_SETTINGS: t.Final = ("salt", "digest_method", "key_derivation", "serializer")


class Witness(Judge):
    """Keeps the verdicts of one look, with their evidence.

    Lifetime: that of the look. The tally of the app's own judge stays as it is: who looks at
    the pages all day would else be counted as a visitor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.verdicts: list[Verdict] = []

    def give(
        self,
        app: Flask,  # noqa: ARG002 - the judge's signature
        step: Step,
        code: str,
        *,
        key: str = "",
        proof: Proof | None = None,
        now: int | None = None,  # noqa: ARG002 - the judge's signature
        hears: Hears | None = None,  # noqa: ARG002 - the judge's signature
    ) -> None:
        """Keep the verdict *code*."""
        evidence = {} if proof is None else proof()
        self.verdicts.append(Verdict(step, code, {"key": key, **evidence} if key else evidence))

    def failed(self, error: Exception) -> None:  # noqa: ARG002 - the judge's signature
        """Count what went wrong in looking; the look goes on without."""
        self.failures += 1

    def of(self, step: Step) -> list[Verdict]:
        """The verdicts on one step, in their order."""
        return [found for found in self.verdicts if found.step == step]


def witnessed(interface: SessionInterface) -> tuple[CtxSessionInterface, Witness] | None:
    """An interface that reads and writes like *interface*, and who hears its verdicts.

    None for one with ways of its own: how it works can't be seen from outside.
    """
    if isinstance(interface, CtxSessionInterface):
        twin = copy.copy(interface)
    elif reads_like_flask(interface):
        twin = _like(t.cast("SecureCookieSessionInterface", interface))
    else:
        return None
    witness = Witness()
    # In the place of the judge that the property makes.
    twin.__dict__["_judge"] = witness
    return twin, witness


def reads_like_flask(interface: SessionInterface) -> bool:
    """Whether *interface* opens, signs and saves by Flask's own methods."""
    if not isinstance(interface, SecureCookieSessionInterface):
        return False
    return not any(name in vars(interface) for name in _READS) and all(
        getattr(type(interface), name) is getattr(SecureCookieSessionInterface, name)
        for name in _READS
    )


def _like(interface: SecureCookieSessionInterface) -> CtxSessionInterface:
    twin = CtxSessionInterface()
    for name in _SETTINGS:
        setattr(twin, name, getattr(interface, name))
    # What a subclass says of the cookie stays its own: its name, its attributes, when it is due.
    for name in dir(SecureCookieSessionInterface):
        if name.startswith(("get_cookie_", "get_expiration_", "should_")):
            own = getattr(type(interface), name)
            if own is not getattr(SecureCookieSessionInterface, name) or name in vars(interface):
                setattr(twin, name, getattr(interface, name))
    return twin
