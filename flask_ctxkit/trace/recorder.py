"""The recorder of one app: it begins, feeds and finishes recordings."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import threading
import traceback
import typing as t
from pathlib import Path

from flask.sessions import NullSession
from werkzeug.wsgi import ClosingIterator

from .. import internals
from ..definition import short_path
from ..redact.drivers import is_drivers, words_of
from ..units import current_unit
from . import captures
from .captures import Captures
from .freezing import trace_name
from .lineage import Lineage
from .model import Error
from .opening import preprocessors
from .recording import KEY, NO_PAIRS, STEP, Recording, Remark, now
from .site import (
    FLASK_FUNCTIONS,
    MAKE_RESPONSE,
    PREPROCESSORS,
    RECEIVERS,
    SAVE_SESSION,
    START_RESPONSE,
    Site,
)

if t.TYPE_CHECKING:
    from types import FrameType, TracebackType

    from ..origin import Origin
    from ..units import Unit
    from .model import Captured
    from .recording import Changes
    from .watcher import Capture

FRAMES: t.Final = 30
"""The most frames that are kept of an exception's traceback, the innermost ones."""
TRIALS: t.Final = 200
"""How many steps are noted to tell what one costs."""
MESSAGE: t.Final = 500
"""The most characters that are kept of an exception's message."""

_HOME: t.Final = str(Path(__file__).parents[1]) + os.sep
"""The kit's own files, whose frames are no help to the user."""
_app_context: t.Final[t.Callable[..., t.Any]] = internals.current_app_context


Sink = t.Callable[[Recording], object]


class Redacts(captures.Redacts, t.Protocol):
    """What the recorder needs of the redactor."""

    def capture(self, name: str, value: object) -> Captured: ...
    def text(self, text: str) -> str: ...


class Tracks(t.Protocol):
    """What the recorder needs of the registry of live contexts."""

    def entered(self, ctx: t.Any, recording: Recording) -> None: ...
    def left(self, recording: Recording) -> None: ...
    def popped_wrongly(
        self, ctx: t.Any, recording: Recording, error: BaseException, where: str
    ) -> None: ...
    def shared_copy(self, ctx: t.Any, recording: Recording, unit: Unit) -> None: ...


class Recorder:
    """Feeds recordings, and hands each to its sinks when it is finished.

    Nothing that fails in here reaches the app: it is counted, by step and type.

    :param rate: the share of requests that is recorded, from 0 to 1.
    :param limit: the most events of one recording.
    :param telling: the classes of sessions whose ``on_touch`` tells when they are touched.
    """

    def __init__(
        self,
        redactor: Redacts,
        registry: Tracks,
        sinks: t.Sequence[Sink] = (),
        *,
        rate: float = 1.0,
        limit: int = 4000,
        telling: tuple[type, ...] = (),
        app_name: str = "",
    ) -> None:
        self.redactor = redactor
        self.capture: Capture = redactor.capture
        self.registry = registry
        self.sinks = list(sinks)
        self.rate = rate
        self.app_name = app_name
        self.limit = limit // 2
        self.telling = telling
        self.captures = Captures(redactor)
        self.on_escape: t.Callable[[Recording, BaseException, Error], object] | None = None
        """Called with an exception that nobody handled, while it is on its way."""
        self.on_end: t.Callable[[t.Any], object] | None = None
        """Called with a context that was popped for good, while it can still be told of."""
        self.push_line = 0
        """The line at which Flask pushes the context of a request, once it is known."""
        self.dropped = 0
        self._failures: dict[tuple[str, str], list[t.Any]] = {}
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()
        self.start()

    def start(self) -> None:
        """Begin to count: in a new process, which shares no trace with its parent."""
        self.pid = os.getpid()
        self.first_id = secrets.randbits(32)
        self.serials = itertools.count()
        self._random = random.Random(self.first_id)  # noqa: S311  # sampling, not secrecy
        self.finished = self.noted = 0
        self.own_ns = 0

    # ------------------------------------------------------------------ begin

    def samples(self) -> bool:
        """Whether the next context is recorded, by chance."""
        return self._random.random() < self.rate

    def started(self, origin: Origin, recording: Recording) -> None:
        """*recording* is of work that was started at *origin*: both are to tell."""
        parent: Recording | None = origin.parent
        recording.lineage = Lineage(origin, None if parent is None else trace_name(parent))
        if parent is None:
            return
        recording.parent = parent.id
        with self._lock:
            family = parent.lineage = parent.lineage or Lineage()
            family.started(recording.id)

    @contextlib.contextmanager
    def unnoted(self, recording: Recording | None, g: t.Any) -> t.Iterator[None]:
        """What happens to *g* in the block is not the doing of a step of *recording*."""
        if recording is None:
            yield
            return
        try:
            if recording.block is not None:
                recording.look_inside(recording.block)
        except BaseException as own:
            self.failed("unnoted", own)
        yield
        try:
            recording.watch_g(g, given=True)
        except BaseException as own:
            self.failed("unnoted", own)

    def current(self) -> Recording | None:
        """The recording of the context on top, or None."""
        try:
            recording: Recording = _app_context()._ctxkit  # noqa: SLF001  # an attribute of ours
            if recording.alone:
                return recording
        except (LookupError, AttributeError):
            pass  # no context, or one that was made before the seams were set
        return self._found()

    def _found(self) -> Recording | None:
        """The recording of the context on top, where it may be another's as well, or none."""
        ctx = _app_context(None)
        recording: Recording | None = getattr(ctx, KEY, None)
        if internals.ONE_CONTEXT:
            return recording
        try:
            return _sharing(ctx) or recording
        except BaseException as own:
            self.failed("current", own)
            return recording

    # ------------------------------------------------------------------- feed

    def raised(
        self,
        recording: Recording,
        site: Site,
        start: int,
        error: BaseException,
        note: str = "",
        *,
        response: t.Any = None,
    ) -> None:
        """Note that *site* raised *error*, maybe after it had changed *response*."""
        try:
            if recording.rendering:
                self._templates_raised(recording, site, error)
            end = now()
            recording.odd = True
            recording.errors = (*recording.errors, id(error))
            recording.raisers = (*recording.raisers, site)
            remark = Remark("raised", self.describe(error), note or None)
            if response is None:
                changes = recording.look(site)
            else:
                changes = recording.look_response(response, site)
            recording.add((site, start, end, changes, remark))
        except BaseException as own:
            self.failed("raised", own)

    def _templates_raised(self, recording: Recording, site: Site, error: BaseException) -> None:
        """*error* left *site*, and so the templates that were being rendered inside it."""
        rows = recording.rendering
        inside = [place for place, row in enumerate(rows) if row[2] is site]
        if not inside:
            return
        recording.rendering = rows[: inside[0]]
        told = Remark("raised", self.describe(error))
        for template, start, _ in reversed(rows[inside[0] :]):
            recording.note(template, start, told)

    def escaped(self, recording: Recording, error: BaseException) -> None:
        """Note that nobody handled *error*, and which step it is from if none was seen."""
        recording.odd = True
        recording.error = told = self.describe(error)
        if self.on_escape is not None:
            self.on_escape(recording, error, told)
        self.unseen(recording, error)

    def unseen(self, recording: Recording, error: BaseException) -> None:
        """Note *error* with the step of Flask's own that raised it, unless a step told it."""
        if error.__traceback__ is None or _is_told(recording, error):
            return
        site, frame = flask_step(error.__traceback__)
        start = recording.last_end()
        if site is PREPROCESSORS:
            last = None if frame is None else internals.preprocessor_in(frame)
            members = preprocessors(recording, until=last)
            remark = Remark("raised", self.describe(error), members=members)
            recording.opened = True
            recording.odd = True
            recording.errors = (*recording.errors, id(error))
            recording.note(site, start, remark)
        else:
            self.raised(recording, site, start, error)

    def ended_by(self, recording: Recording, error: BaseException) -> None:
        """*error* ends the context, and no exception of the app's that somebody handled."""
        if recording.error is not None:
            return  # it escaped before
        try:
            self.unseen(recording, error)
            recording.odd = True
            recording.error = self.describe(error)
        except BaseException as own:
            self.failed("raised", own)

    def started_response(
        self, recording: Recording, status: str, headers: list[tuple[str, str]]
    ) -> None:
        """The last look: the response goes to the server, and nothing can change it now."""
        end = now()
        response, final, pairs = recording.response, None, NO_PAIRS
        if response is not None and not recording.sent:
            pairs = internals.header_pairs(response.headers)
            changes = recording.look_response(response, SAVE_SESSION)
            if self._is_saved(recording, changes):
                recording.add((SAVE_SESSION, recording.saving, end, changes, None))
            elif changes is not None:
                recording.add((RECEIVERS, recording.last_end(), end, changes, None))
            # A list is what Flask makes of a text, and is no stream.
            if type(response.response) is not list:
                recording.streamed = response.is_streamed and not _is_whole(response)
        if headers != pairs:  # most are those of the response, which were just looked at
            captured = self.captures.headers(headers)
            if captured != recording.headers:
                recording.headers = captured
                final = (None, None, captured, None)
        recording.add((START_RESPONSE, end, end, final, None))
        recording.sent = True
        recording.status = int(status[:3])
        # A streamed body may hold its context: nothing here may keep the body alive.
        recording.response = None

    @staticmethod
    def _is_saved(recording: Recording, changes: Changes | None) -> bool:
        """Whether Flask got as far as saving the session with the response that is sent."""
        if not recording.saving:
            return False
        if not recording.told and isinstance(recording.session, NullSession):
            return False
        # One error in it is seen. Of another, while Flask answers that one, nothing is.
        return not recording.odd or changes is not None or SAVE_SESSION not in recording.raisers

    # ----------------------------------------------------------------- finish

    def abandon(self, recording: Recording) -> None:
        """Finish *recording*, whose context nobody will pop any more."""
        if recording.ended is None:
            recording.state = "left"
            recording.odd = True
            self.finish(recording)

    def finish(self, recording: Recording) -> None:
        """Hand *recording* to the sinks; a failing sink is counted and stops no other."""
        begun = now()
        recording.ended = begun
        recording.lasted = begun - recording.made[0]
        recording.current = None
        if recording.state == "running":
            recording.state = "finished"
        elif recording.left_at:
            recording.ended = recording.left_at
            recording.lasted = recording.left_at - recording.made[0]
        if recording.lineage is not None:
            recording.lineage.settle(recording.ended)
        try:
            if recording.request is not None:
                recording.environ = self.captures.environ(recording.request.environ)
        except BaseException as own:
            self.failed("environ", own)
        try:
            recording.release()
        except BaseException as own:
            self.failed("release", own)
        for sink in self.sinks:
            try:
                sink(recording)
            except BaseException as own:
                self.failed(f"sink {getattr(sink, '__qualname__', type(sink).__name__)}", own)
        recording.changed = []
        self.finished += 1
        self.noted += len(recording.log) // STEP
        self.own_ns += now() - begun

    # --------------------------------------------------------------- failures

    def failed(self, step: str, error: BaseException) -> None:
        """Count a failure of the kit's own.

        :raises KeyboardInterrupt, SystemExit: as they came. They are sent to the process,
            and only happened to arrive in here.
        """
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        with self._lock:
            row = self._failures.setdefault((step, type(error).__name__), [0, ""])
            row[0] += 1
            try:
                row[1] = self.redactor.text(_message(error))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as unread:
                row[1] = f"not readable: {type(unread).__name__}"

    def cost(self) -> dict[str, t.Any]:
        """What recording costs: microseconds per trace, drops, and own failures.

        The end of each trace is timed as it happens. Timing each step as well would cost more
        than the step, so one is timed here, now, and counts for each that was noted.
        """
        try:
            spent = self.own_ns + self.noted * self._step_ns()
        except BaseException as own:
            self.failed("cost", own)
            spent = self.own_ns
        failures = [
            {"step": step, "type": name, "message": message, "count": count}
            for (step, name), (count, message) in list(self._failures.items())
        ]
        mean = spent / self.finished / 1000 if self.finished else None
        return {"us_per_request": mean, "dropped": self.dropped, "failures": failures}

    def _step_ns(self) -> float:
        trial = Recording(self, 0, "script", current_unit(), (0, 0))
        start = now()
        for _ in range(TRIALS):
            trial.note(MAKE_RESPONSE, now())
        return (now() - start) / TRIALS

    def describe(self, error: BaseException) -> Error:
        """*error* as a record, with the innermost frames of its traceback."""
        frames = [
            f"{short_path(frame.filename)}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]
            if not frame.filename.startswith(_HOME)
        ]
        outside = [f for f in frames if not f.startswith(("flask/", "werkzeug/"))]
        innermost = (outside or frames or [""])[-1].partition(" ")[0]
        message = self.redactor.text(_message(error))
        return Error(type(error).__qualname__, message, innermost or None, tuple(frames))


def _sharing(ctx: t.Any) -> Recording | None:
    """The recording of a request that found the application context *ctx* pushed."""
    request_context = internals.current_request_context()
    if request_context is None or ctx is None:
        return None
    inner: Recording | None = getattr(request_context, KEY, None)
    if inner is not None and (inner.app_context is ctx or inner.shares() is ctx):
        return inner
    return None


def _message(error: BaseException) -> str:
    # str(error) may run the user's __str__, so only the arguments are read.
    if type(error).__module__.startswith("werkzeug"):
        return str(getattr(error, "description", ""))[:MESSAGE]
    shown = [
        argument[:MESSAGE] if type(argument) is str else f"<{type(argument).__name__}>"
        for argument in BaseException.__getattribute__(error, "args")[:5]
    ]
    message = ", ".join(shown)[:MESSAGE]
    return words_of(message) if is_drivers(error) else message


def _is_whole(response: t.Any) -> bool:
    # Flask makes a response of an HTTPException by calling it: a body that is an iterator
    # although it is whole.
    return type(response.response) is ClosingIterator and response.content_length is not None


def flask_step(traceback: TracebackType | None) -> tuple[Site, FrameType | None]:
    """The step of Flask's own that an exception passed through, and its frame."""
    found: tuple[Site, FrameType | None] = (MAKE_RESPONSE, None)
    while traceback is not None:
        site = FLASK_FUNCTIONS.get(traceback.tb_frame.f_code.co_name)
        if site is not None:
            found = (site, traceback.tb_frame)
        traceback = traceback.tb_next
    return found


def _is_told(recording: Recording, error: BaseException) -> bool:
    """Whether a step told that it raised *error*."""
    if id(error) not in recording.errors:
        return False
    request = recording.request
    if request is not None and request.routing_exception is error:
        return True
    # An id is used again at once, so the traceback must have passed through a seam as well.
    frames = error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_globals.get("__package__") == __package__:
            return True
        frames = frames.tb_next
    return False
