"""Generating batches in this process: images and masks are made, and parts written, while the next batch is sampled."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mosaicfusion.config import RunConfig
from mosaicfusion.generation.canvas_sampler import CanvasSampler
from mosaicfusion.generation.events import CanvasDone
from mosaicfusion.generation.queue import BatchQueue
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.profiling import stage
from mosaicfusion.run.failures import forget_failures, note_failures
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest
from mosaicfusion.run.records import CanvasRecord

if TYPE_CHECKING:
    from mosaicfusion.diffusion.sampler import SampledCanvas

_MAX_PENDING = 4  # batches whose masks are being made; then the sampler waits, for each holds its images and attention


class Engine(Protocol):
    """Generates batches: :class:`LocalEngine`, or the workers of :mod:`mosaicfusion.generation.ray`."""

    def dtype(self, requested: str) -> str:
        """``float32`` or ``float16`` for ``auto``, by the device."""
        ...

    def load(self, manifest: Manifest, out: Path) -> None:
        """Load the model of a run and try everything that could fail later; raises :class:`MosaicFusionError`."""
        ...

    def run(self, queue: BatchQueue) -> None:
        """Generate all batches and write their parts."""
        ...


LoadSampler = Callable[[Manifest, DeviceOptions], CanvasSampler]
Record = Callable[["SampledCanvas", RunConfig, RunFolder], CanvasRecord]


class LocalEngine:
    """This process, on one device. ``load_sampler`` and ``record`` may be replaced, for instance to watch them."""

    _sampler: CanvasSampler

    def __init__(
        self,
        options: DeviceOptions,
        load_sampler: LoadSampler = CanvasSampler.load,
        record: Record = record_canvas,
    ) -> None:
        self._options, self.load_sampler, self.record = options, load_sampler, record

    def dtype(self, requested: str) -> str:
        """See :class:`Engine`; raises :class:`MosaicFusionError` if there is no such device."""
        return resolve_dtype(requested, resolve_device(self._options.device))

    def load(self, manifest: Manifest, out: Path) -> None:
        """See :class:`Engine`."""
        self._sampler = self.load_sampler(manifest, self._options)

    def run(self, queue: BatchQueue) -> None:
        """See :class:`Engine`."""
        generate_batches(self._sampler.continue_with(queue.run), queue, record=self.record)


@dataclass(frozen=True)
class _Pending:
    """A sampled batch whose records are being made; ``failed`` canvases of it could not be sampled."""

    batch: list[int]
    failed: list[int]
    records: list[Future[CanvasRecord]]

    @property
    def ready(self) -> bool:
        return all(record.done() for record in self.records)

    def finish(self, queue: BatchQueue) -> None:
        """Wait for the records, write them, and give the batch back."""
        records = [record.result() for record in self.records]
        queue.finish(self.batch, write_batch(queue.run, self.batch, records), self.failed)


def generate_batches(
    sampler: CanvasSampler,
    queue: BatchQueue,
    *,
    record: Record = record_canvas,
    threads: int | None = None,
    max_pending: int = _MAX_PENDING,
) -> None:
    """Generate the batches of a queue.

    ``record`` makes the record of a sampled canvas, in one of ``threads`` threads (one core less than there are, at most 4, if
    left out). At most ``max_pending`` batches wait for their records.
    """
    batch: list[int] = []
    pending: deque[_Pending] = deque()

    def on_step(step: int, steps: int) -> None:
        while pending and pending[0].ready:
            pending.popleft().finish(queue)
        waiting = sum(len(sampled.batch) for sampled in pending)
        queue.observer.progress(queue.done + waiting + len(batch) * step / steps, queue.total)

    threads = threads or max(1, min(4, (os.cpu_count() or 1) - 1))
    with ThreadPoolExecutor(threads, thread_name_prefix="masks") as pool:
        try:
            for batch in queue:
                on_step(0, 1)
                canvases, failed = sampler.sample(batch, on_step)
                records = [pool.submit(record, canvas, sampler.plan.config, queue.run) for canvas in canvases]
                pending.append(_Pending(batch, failed, records))
                batch = []  # counts as pending now
                while len(pending) > max_pending:
                    pending.popleft().finish(queue)
        finally:  # after Ctrl-C and a cancellation too: nothing that was sampled is lost
            while pending:
                pending.popleft().finish(queue)


def write_batch(run: RunFolder, batch: Sequence[int], records: Sequence[CanvasRecord]) -> list[CanvasDone]:
    """Write the part of a batch; canvases without an image are noted as failures, so that they can be generated again."""
    blank = [record.index for record in records if record.file_name is None]
    note_failures(run, blank, batch, "nan")
    if records:
        with stage("write part"):
            run.write_part(records)
    forget_failures(run, [record.index for record in records if record.file_name is not None])
    return [CanvasDone.of(record) for record in records]
