"""Progress of a job: the type of its callbacks, and a bar for terminals, notebooks and the logs of jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mosaicfusion.errors import counted

OnProgress = Callable[[float, int], object]
"""Called with the number of things done, which may be fractional, and the total, which may grow."""

PRINTED = {"printed": True}
"""``extra`` of log records whose text the user has on the screen already."""

_LINE_EVERY_S = 60
_log = logging.getLogger(__name__)


def can_show_bar(console: Console) -> bool:
    """True in a terminal, and in a notebook that has ipywidgets, which rich needs to update a cell."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


class ProgressBar:
    """Progress with rate and time left, for canvases or anything else that is counted.

    A bar in a terminal or a notebook; elsewhere, as in the log of a job, a line per minute. The lines also go to the logger
    ``mosaicfusion``. ``unit``: one of the things that are counted. ``before``: what happens before the first one.
    """

    def __init__(
        self, doing: str, unit: str, before: str = "loading the model", console: Console | None = None
    ) -> None:
        self._doing, self._unit, self._before = doing, unit, before
        self._console = console or Console(stderr=True)
        self._live = can_show_bar(self._console) and not self._console.quiet
        self._begin: tuple[float, float] | None = None  # (time, count) of the first call; earlier items do not count
        self._next_line = 0.0
        self._finished = False
        self._note = ""

    def __enter__(self) -> Self:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
            disable=not self._live,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._before, total=None, text="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, visible=self._begin is not None)
        self._bar.stop()

    def note(self, text: str) -> None:
        """Set a short text, such as ``loss 0.912``, that is shown after the count from the next :meth:`show` on."""
        self._note = text

    def show(self, done: float, total: int) -> None:
        """Show ``done`` of ``total``, an :data:`OnProgress`."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = now, done
            self._bar.reset(self._task, completed=int(done), description=self._doing)
        text = self._text(done, total, now)
        self._bar.update(self._task, total=total, completed=done, text=text)
        finished = done >= total
        if finished != self._finished or (not finished and now >= self._next_line):  # a total that grew gets a line too
            self._next_line, self._finished = now + _LINE_EVERY_S, finished
            self._write(f"{self._doing}: {text}")

    def _write(self, line: str) -> None:
        if not self._live:
            self._console.print(line, markup=False, soft_wrap=True)
        _log.info(line, extra=PRINTED)

    def _text(self, done: float, total: int, now: float) -> str:
        """``12/528 canvases, 33.3/min, 0:00:22 elapsed, 0:15:28 left``; a note comes after the count."""
        begin, before = self._begin or (now, done)
        elapsed, new = now - begin, done - before
        parts = [f"{int(done)}/{counted(total, self._unit)}", *([self._note] if self._note else [])]
        if elapsed > 1 and new > 0:
            parts.append(f"{new / elapsed * 60:.1f}/min")
        parts.append(f"{timedelta(seconds=round(elapsed))} elapsed")
        if new > 0 and done < total:
            parts.append(f"{timedelta(seconds=round((total - done) * elapsed / new))} left")
        return ", ".join(parts)
