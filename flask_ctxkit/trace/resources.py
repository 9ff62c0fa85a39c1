"""Puts what is done with resources on the trace of the context that asked for it."""

from __future__ import annotations

import typing as t
from collections import OrderedDict

from ..definition import Definition
from .recording import Remark
from .site import Site

if t.TYPE_CHECKING:
    from .model import Captured
    from .recorder import Recorder

SITES: t.Final = 1000
"""The most steps with resources that are remembered, so that equal requests share them."""


class Told(t.Protocol):
    """A step with a resource, as the room that took it tells it."""

    @property
    def name(self) -> str: ...
    @property
    def where(self) -> str | None: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def note(self) -> str | None: ...
    @property
    def parameters(self) -> Captured: ...


class ResourceSteps:
    """Notes steps with resources on the recording of the context on top."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sites: OrderedDict[tuple[str, str | None], Site] = OrderedDict()

    def note(self, told: Told) -> None:
        """Note *told*; nothing where no context is recorded. Never raises."""
        try:
            recording = self._recorder.current()
            if recording is None:
                return
            remark = None
            if told.error is not None:
                recording.odd = True
                raised = self._recorder.describe(told.error)
                remark = Remark("raised", raised, told.note, parameters=told.parameters)
            elif told.note is not None:
                remark = Remark(note=told.note, parameters=told.parameters)
            site = self._site(told.name, told.where)
            recording.add((site, told.start, told.end, None, remark))
        except BaseException as own:
            self._recorder.failed("resource", own)

    def _site(self, name: str, where: str | None) -> Site:
        site = self._sites.get((name, where))
        if site is None:
            site = Site("resource", Definition(name, "", where, "this app"))
            self._sites[name, where] = site
            while len(self._sites) > SITES:
                self._sites.popitem(last=False)
        return site
