"""What Flask's signals tell: templates, exceptions that nobody handled, and who listens."""

from __future__ import annotations

import typing as t

from flask import before_render_template, got_request_exception, template_rendered

from ..definition import Definition
from .recording import Recording, now
from .site import Site
from .watcher import NAMES

if t.TYPE_CHECKING:
    from blinker import NamedSignal
    from flask import Flask

    from .recorder import Recorder


TEMPLATES: t.Final = 1000
"""How many templates are known by name; names may be made by the user's code."""


class SignalSeam:
    """Notes what is rendered, and the exception that nobody handled.

    Only signals that few requests send: to hear one costs a request more than a hook.
    """

    def __init__(self, app: Flask, recorder: Recorder) -> None:
        self.recorder = recorder
        self._sites: dict[str, Site] = {}
        # blinker holds bound methods weakly; the app's state holds this object.
        before_render_template.connect(self.rendering, app)
        template_rendered.connect(self.rendered, app)
        got_request_exception.connect(self.unhandled, app)

    def rendering(self, sender: Flask, template: t.Any, **_: t.Any) -> None:
        """A template begins to be rendered."""
        try:
            recording = self.recorder.current()
            if recording is None:
                return
            outer = recording.current
            if outer is not None:
                recording.look_inside(outer)
            name = template.name if type(template.name) is str else "a string"
            site = self._sites.get(name) or self._made(name)
            if len(recording.templates) < NAMES:
                recording.templates = (*recording.templates, (name, site))
            recording.rendering = (*recording.rendering, (site, now(), outer))
            self._hear(recording, before_render_template, sender)
            recording.current = site
        except BaseException as own:
            self.recorder.failed("template", own)

    def rendered(self, sender: Flask, **_: t.Any) -> None:
        """A template has been rendered."""
        try:
            recording = self.recorder.current()
            if recording is None or not recording.rendering:
                return
            *others, (site, start, outer) = recording.rendering
            recording.rendering = tuple(others)
            self._hear(recording, template_rendered, sender)
            recording.current = outer
            recording.note(site, start)
        except BaseException as own:
            self.recorder.failed("template", own)

    def unhandled(self, sender: Flask, exception: BaseException, **_: t.Any) -> None:
        """Nobody handled *exception*."""
        try:
            recording = self.recorder.current()
            if recording is not None:
                self._hear(recording, got_request_exception, sender)
                self.recorder.escaped(recording, exception)
        except BaseException as own:
            self.recorder.failed("exception", own)

    def _made(self, name: str) -> Site:
        # One for each template: recordings of the same sites are examined only once.
        if len(self._sites) >= TEMPLATES:
            self._sites.clear()
        return self._sites.setdefault(
            name, Site("template", Definition(name, "", None, "this app"))
        )

    @staticmethod
    def _hear(recording: Recording, signal: NamedSignal, sender: Flask) -> None:
        if len(signal.receivers) > 1:  # one is the kit's own
            heard(recording, signal, sender)


def heard(recording: Recording, signal: NamedSignal, app: Flask) -> tuple[str, ...]:
    """Note who listens to *signal*, which has just been sent; the kit itself doesn't count."""
    names = tuple(
        name
        for receiver in signal.receivers_for(app)
        if not (name := function_name(receiver)).startswith("flask_ctxkit.")
    )
    if names:
        recording.signals = {**recording.signals, signal.name: names}
    return names


def function_name(receiver: t.Any) -> str:
    """The module and qualified name of *receiver*, or those of its class."""
    owner = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{owner.__module__}.{owner.__qualname__}"
