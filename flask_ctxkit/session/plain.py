"""Reading a cookie by Flask's own serializer, where the codec can't follow."""

from __future__ import annotations

import time
import typing as t

from itsdangerous import BadSignature, SignatureExpired
from itsdangerous.timed import TimedSerializer

from .codec import Verified

if t.TYPE_CHECKING:
    from datetime import datetime


def loads(
    serializer: t.Any, text: str, *, max_age: int, leeway: int
) -> tuple[t.Any, Verified | None]:
    """The values of a cookie, and when it was signed; None of a serializer that can't tell.

    :param max_age: in seconds.
    :param leeway: seconds that the signer's clock may be ahead of this one.
    :raises BadSignature: as Flask's serializer raises it.
    :raises BadPayload: for a payload that can't be read.
    """
    if not isinstance(serializer, TimedSerializer):
        return serializer.loads(text, max_age=max_age), None
    try:
        values, moment = serializer.loads(text, max_age=max_age, return_timestamp=True)
    except SignatureExpired as error:
        signed = error.date_signed
        if signed is None or error.payload is None or not 0 < -_age(signed) <= leeway:
            raise
        values, moment = serializer.load_payload(error.payload), signed
    return values, Verified("valid", None, int(moment.timestamp()), _age(moment))


def again(serializer: t.Any, text: str, *, max_age: int) -> t.Any:
    """The values of a cookie that was read before, whatever its age is by now."""
    if isinstance(serializer, TimedSerializer):
        return serializer.loads(text)
    return serializer.loads(text, max_age=max_age)


def when(error: BadSignature, max_age: int) -> dict[str, t.Any]:
    """The evidence in the *error* of a cookie that is refused for its time, in seconds."""
    signed = error.date_signed if isinstance(error, SignatureExpired) else None
    if signed is None:
        return {}
    age = _age(signed)
    return {"age": age, "limit": max_age} if age >= 0 else {"ahead": -age}


def _age(moment: datetime) -> int:
    return int(time.time()) - int(moment.timestamp())
