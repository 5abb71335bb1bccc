"""What runs on the nodes of a cluster."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mosaicfusion.generation.canvas_sampler import CanvasSampler
from mosaicfusion.generation.engine import keep
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.run.folder import RunFolder


class Worker:
    """A model that draws batches into a run folder. Two calls of :meth:`draw` overlap: one samples, one makes masks.

    ``folder``: where the driver's relative paths begin.
    """

    def __init__(self, header: dict[str, Any], out: Path, options: DeviceOptions, folder: Path) -> None:
        self._header, self._out, self._options, self._folder = header, out, options, folder

    def load(self) -> None:
        """Load the model and try what would fail later; raises as :meth:`CanvasSampler.load`."""
        with suppress(OSError):  # another machine may lack it
            os.chdir(self._folder)
        self._sampler = CanvasSampler.load(self._header, self._options)
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(max(1, (self._options.threads or 1) - 1), thread_name_prefix="masks")

    def draw(self, batch: list[int], at_most: int | None = None) -> list[int]:
        """Draw and keep a batch, ``at_most`` so many together; returns the indices of what did not fit in memory."""
        with self._turn:
            drawn, failed = self._sampler.draw(batch, at_most=at_most)
        run = RunFolder.open(self._out)
        record = partial(record_canvas, config=self._sampler.plan.config, run=run)
        keep(run, batch, list(self._pool.map(record, drawn)))
        return failed
