"""What runs before the first hook: receivers of ``request_started`` and preprocessors.

No seam tells of each of them, so they are told as blocks with members.
"""

from __future__ import annotations

import typing as t

from flask import request_started

from ..internals import current_app
from .recording import Recording, Remark
from .signals import function_name, heard
from .site import MAKE_RESPONSE, PREPROCESSORS, REQUEST_STARTED

NEXT: t.Final = "its time and changes are told with the next step"


def before_hooks(recording: Recording) -> None:
    """Called by the kit's own first before_request: note what ran since the match."""
    recording.opened = True
    # Resources that were asked for here are told already, and lie inside.
    start = (recording.block is None and recording.match_end) or recording.last_end()
    members = preprocessors(recording)
    if request_started.receivers:
        receivers = heard(recording, request_started, current_app())
        if receivers and members:
            # Nothing tells where these ended and the others began.
            recording.add(
                (REQUEST_STARTED, start, start, None, Remark(members=receivers, note=NEXT))
            )
            start += 1
        elif receivers:
            recording.note(REQUEST_STARTED, start, Remark(members=receivers))
    if members:
        recording.note(PREPROCESSORS, start, Remark(members=members))


def preprocessors(recording: Recording, until: t.Any = None) -> tuple[str, ...]:
    """The names of the url_value_preprocessors that run for the request, in their order.

    :param until: the last one that ran.
    """
    table = current_app().url_value_preprocessors
    names = (None, *reversed(recording.request.blueprints)) if table else ()
    found: list[str] = []
    for name in names:
        for function in table.get(name, ()):
            found.append(function_name(function))
            if until is not None and function is until:
                return tuple(found)
    return tuple(found)


def first_response(recording: Recording, response: t.Any, start: int) -> None:
    """Note that Flask made *response* between the last step and *start*."""
    if recording.has_request and not recording.opened and (recording.odd or not recording.log):
        _opening_failed(recording)
        start = max(start, recording.last_end())
    recording.saving = 0
    changes = recording.look_response(response, MAKE_RESPONSE)
    recording.add((MAKE_RESPONSE, recording.last_end(), start, changes, None))


def _opening_failed(recording: Recording) -> None:
    # Flask handles an HTTP error of a preprocessor or of a receiver without calling anything:
    # what is seen is a response although no hook ran before it, not even the kit's own.
    app = current_app()
    if not (app.url_value_preprocessors or request_started.receivers):
        return
    if any(step[0].phase in {"before_request", "error_handler"} for step in recording.all_steps()):
        return
    members = preprocessors(recording)
    site = PREPROCESSORS if members else REQUEST_STARTED
    members = members or heard(recording, request_started, app)
    if members:
        recording.odd = recording.opened = True
        note = "one of these raised the HTTP error that is the response"
        recording.note(site, recording.last_end(), Remark("raised", members=members, note=note))
