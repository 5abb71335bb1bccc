"""The actor that runs on the nodes of a Ray cluster."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from mosaicfusion.generation.canvas_sampler import CanvasSampler
from mosaicfusion.generation.engine import write_batch
from mosaicfusion.generation.events import CanvasDone
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest


class Worker:
    """A model that generates batches into a run folder. Two calls of :meth:`generate` overlap: one samples, one makes masks.

    ``working_folder``: that of the driver, which relative paths refer to.
    """

    def __init__(self, manifest: Manifest, out: Path, options: DeviceOptions, working_folder: Path) -> None:
        self._run, self._options, self._working_folder = RunFolder(out, manifest), options, working_folder

    def load(self) -> None:
        """Load the model and try everything that could fail later; raises as :meth:`CanvasSampler.load`."""
        with suppress(OSError):  # another machine may lack it
            os.chdir(self._working_folder)
        self._sampler = CanvasSampler.load(self._run.manifest, self._options)
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(max(1, (self._options.threads or 1) - 1), thread_name_prefix="masks")

    def generate(self, batch: list[int], max_size: int | None = None) -> tuple[list[CanvasDone], list[int]]:
        """Generate and write a batch, at most ``max_size`` canvases together.

        Returns the canvases that are in the run folder now, and the indices of those that did not fit in memory.
        """
        with self._turn:
            if batch[-1] >= self._run.total:  # the run has grown
                self._run = RunFolder.open(self._run.path)
            self._sampler = self._sampler.continue_with(self._run)
            canvases, failed = self._sampler.sample(batch, max_size=max_size)
        record = partial(record_canvas, config=self._sampler.plan.config, run=self._run)
        return write_batch(self._run, batch, list(self._pool.map(record, canvases))), failed
