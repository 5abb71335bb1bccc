"""Timing of named stages on every thread, as a table and as a trace for chrome://tracing or Perfetto."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mosaicfusion.files.atomic import write_atomic

_log = logging.getLogger(__name__)


@dataclass
class StageTotal:
    """``seconds``: wall time inside the stage on all threads; ``own_seconds``: without the stages inside it."""

    name: str
    calls: int = 0
    seconds: float = 0.0
    own_seconds: float = 0.0


@dataclass(frozen=True)
class _Event:
    name: str
    thread: int
    start: float
    seconds: float


@dataclass
class Profile:
    """The result of :func:`profiled`. ``wait``: called at the end of each stage, for devices that compute asynchronously."""

    wait: Callable[[], None] | None = None
    begun: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    _events: list[_Event] = field(default_factory=list)
    _totals: dict[str, StageTotal] = field(default_factory=dict)
    _inside: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def totals(self) -> list[StageTotal]:
        """Totals of the stages, in descending order of their own time."""
        return sorted(self._totals.values(), key=lambda total: -total.own_seconds)

    def write_trace(self, path: Path) -> None:
        """Chrome's trace event format: one complete event for each time a stage was entered, in microseconds."""
        by_start = sorted(self._events, key=lambda event: event.start)
        threads = {thread: number for number, thread in enumerate(dict.fromkeys(event.thread for event in by_start))}
        events = [
            {
                "name": event.name,
                "ph": "X",
                "pid": 1,
                "tid": threads[event.thread],
                "ts": round(1e6 * (event.start - self.begun), 1),
                "dur": round(1e6 * event.seconds, 1),
            }
            for event in by_start
        ]
        write_atomic(path, json.dumps({"traceEvents": events}).encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        stack: list[float] = self._inside.__dict__.setdefault("stack", [])  # seconds of the stages inside each open one
        stack.append(0.0)
        start = time.perf_counter()
        try:
            yield
            if self.wait:
                self.wait()
        finally:
            seconds = time.perf_counter() - start
            within = stack.pop()
            if stack:
                stack[-1] += seconds
            with self._lock:
                self._events.append(_Event(name, threading.get_ident(), start, seconds))
                total = self._totals.setdefault(name, StageTotal(name))
                total.calls += 1
                total.seconds += seconds
                total.own_seconds += seconds - within


def waiter(device: str) -> Callable[[], None] | None:
    """A function that waits for the arithmetic of a device, so that a stage ends with it; ``None`` for a CPU."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return None
    return torch.cuda.synchronize


_active: Profile | None = None


@contextmanager
def profiled(wait: Callable[[], None] | None = None) -> Iterator[Profile]:
    """Collect the stages of the whole process until the end of the block."""
    global _active
    _active = profile = Profile(wait)
    try:
        yield profile
    finally:
        _active = None
        profile.seconds = time.perf_counter() - profile.begun


@contextmanager
def stage(name: str, *, log: bool = False) -> Iterator[None]:
    """Count this block as a stage of an open :func:`profiled` block; with ``log``, write its time to the logger as well.

    A function may be a stage too: ``@stage("load the model")``.
    """
    profile, start = _active, time.perf_counter()
    if profile is None:
        yield
    else:
        with profile.stage(name):
            yield
    if log:
        _log.debug("%s: %.2f s", name, time.perf_counter() - start)
