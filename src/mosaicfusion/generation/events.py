"""Events of a generation job, for progress bars, notebooks and web pages, and a way to cancel the job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.progress import OnProgress
from mosaicfusion.run.records import CanvasRecord


@dataclass(frozen=True)
class Progress:
    """Progress of a job after a sampling step: ``done`` of ``total`` canvases, fractional while a batch is sampled.

    ``seconds_left`` is estimated from the rate since the first event, ``None`` until there is one. ``round``: where instances are
    wanted, the round of this call, from 1; the total grows with each.
    """

    done: float
    total: int
    seconds_left: float | None = None
    round: int | None = None


@dataclass(frozen=True)
class CanvasDone:
    """A canvas is in the run folder. ``kept``: regions with a mask. ``rejected``: the reason of each other region."""

    index: int
    kept: int
    rejected: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: CanvasRecord) -> CanvasDone:
        """The event of a record."""
        rejected = tuple(region.reason for region in record.regions if region.reason is not None)
        return cls(record.index, len(record.regions) - len(rejected), rejected)


@dataclass(frozen=True)
class CanvasFailed:
    """A canvas could not be generated; ``message`` says why."""

    index: int
    message: str


@dataclass(frozen=True)
class Note:
    """What the user may want to know: a line such as why a run is to grow."""

    text: str


Event = Progress | CanvasDone | CanvasFailed | Note
OnEvent = Callable[[Event], None]


def progress_handler(show: OnProgress) -> OnEvent:
    """A handler that passes (done, total) of each :class:`Progress` to ``show``, and ignores the other events."""

    def on_event(event: Event) -> None:
        if isinstance(event, Progress):
            show(event.done, event.total)

    return on_event


class CancelledError(MosaicFusionError):
    """A job was cancelled. What was generated until then is in the run folder."""


class Observer:
    """Hands the events of a job to ``on_event``, and stops the job once ``cancel`` is set. The defaults do neither."""

    def __init__(self, on_event: OnEvent | None = None, cancel: threading.Event | None = None) -> None:
        self._on_event, self._cancel = on_event, cancel
        self._start: tuple[float, float] | None = None  # (time, canvases) of the first progress
        self.round: int | None = None  # see Progress

    def check_cancelled(self) -> None:
        """Raise :class:`CancelledError` if the job is to stop."""
        if self._cancel is not None and self._cancel.is_set():
            raise CancelledError("cancelled; what was generated is in the run folder")

    def progress(self, done: float, total: int) -> None:
        """Emit :class:`Progress`, or stop the job."""
        self.check_cancelled()
        if self._on_event is None:
            return
        now = time.monotonic()
        begin, before = self._start = self._start or (now, done)
        left = (total - done) * (now - begin) / (done - before) if done > before else None
        self._on_event(Progress(done, total, left, self.round))

    def canvases(self, events: Sequence[CanvasDone]) -> None:
        """Emit the events of a batch."""
        for event in events:
            self._emit(event)

    def failed(self, indices: Sequence[int], message: str) -> None:
        """Emit :class:`CanvasFailed` for each canvas."""
        for index in indices:
            self._emit(CanvasFailed(index, message))

    def note(self, text: str) -> None:
        """Emit :class:`Note`."""
        self._emit(Note(text))

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)
