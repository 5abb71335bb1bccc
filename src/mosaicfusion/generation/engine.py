"""Generation what a run folder lacks: batches are claimed, drawn, kept; what cannot be drawn is noted, and the rest goes on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import is_remote
from mosaicfusion.generation.batches import WHOLE, Shard, missing_parts
from mosaicfusion.generation.canvas_sampler import CanvasSampler
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.profiling import stage
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import Reason, forget_failures, note_failures, read_failures
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

OnProgress = Callable[[float, int], None]
MESSAGES: dict[Reason, str] = {
    "out_of_memory": "the device has too little memory, even for one canvas alone",
    "worker_lost": "its worker died each time",
    "nan": "latents or pixels became NaN or infinite",
}
_MAX_PENDING = 4  # batches whose masks are being made; then the sampler waits, for each holds its images and attention
_MAX_FAILED = 3  # batches in a row, before the run stops: nothing would be drawn


class BatchQueue:
    """The batches that a process is to draw, each claimed until it is finished.

    ``batches``: lists of rising indices. ``total``: canvases of the share, ``done`` of them are there. ``missing``: what of a
    batch is to be drawn, asked when it is claimed: another process may have been faster.
    """

    def __init__(
        self,
        run: RunFolder,
        claims: Claims,
        batches: Iterable[list[int]],
        total: int,
        done: int = 0,
        missing: Callable[[list[int]], list[int]] = list,
    ) -> None:
        self.run, self.total, self.done = run, total, done
        self._claims, self._batches, self._missing = claims, batches, missing
        self._failed_in_a_row = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Batches that no other process draws; :meth:`finish` is to be called for each."""
        for batch in self._batches:
            claimed = self._claims.take(batch)
            missing = self._missing(batch) if claimed else []
            self.done += len(batch) - len(missing)
            if missing:
                yield missing
            elif claimed:
                self._claims.give_back(batch)

    def finish(self, batch: Sequence[int], failed: Sequence[int] = (), reason: Reason = "out_of_memory") -> None:
        """A batch is in the run folder, apart from the ``failed`` canvases; these are noted.

        Raises :class:`MosaicFusionError` when several batches in a row failed altogether.
        """
        note_failures(self.run, failed, batch, reason, MESSAGES[reason])
        self._claims.give_back(batch)
        self.done += len(batch)
        self._failed_in_a_row = self._failed_in_a_row + 1 if len(failed) == len(batch) else 0
        if self._failed_in_a_row == _MAX_FAILED:
            raise MosaicFusionError(f"{_MAX_FAILED} batches in a row could not be drawn: {MESSAGES[reason]}")


def missing_batches(run: RunFolder, claims: Claims, batch_size: int, shard: Shard = WHOLE) -> BatchQueue:
    """What a run, or a shard of it, lacks."""
    group_size, there = run.header["config"]["layout"]["group_size"], run.done()

    def missing(batch: list[int]) -> list[int]:
        if is_remote(run.path):  # there are no claims to have waited for
            return batch
        first = batch[0] // group_size * group_size
        now_there = run.done_among(range(first, first + group_size))
        return [index for index in batch if index not in now_there]

    total = done = 0
    for group in shard.groups(run.total, group_size):
        total += len(group)
        done += sum(index in there for index in group)
    return BatchQueue(run, claims, missing_parts(there, run.total, group_size, batch_size, shard), total, done, missing)


def failed_batches(run: RunFolder, claims: Claims) -> BatchQueue:
    """What failed, each canvas in the company of its batch: so it comes out as if it had not failed."""
    batches = sorted({failure.batch for failure in read_failures(run)})
    return BatchQueue(run, claims, map(list, batches), sum(map(len, batches)))


class Engine(Protocol):
    """What draws batches: :class:`LocalEngine`, or the workers of :mod:`mosaicfusion.generation.ray`."""

    def dtype(self, wanted: str) -> str:
        """``float32`` or ``float16`` for ``auto``, by the device."""
        ...

    def load(self, header: dict[str, Any], out: Path) -> None:
        """Load the model of a run and try what would fail later; raises :class:`MosaicFusionError`."""
        ...

    def draw(self, work: BatchQueue, on_progress: OnProgress | None = None) -> None:
        """Draw all batches and write their parts."""
        ...


class LocalEngine:
    """This process, on one device."""

    def __init__(self, options: DeviceOptions) -> None:
        self._options = options

    def dtype(self, wanted: str) -> str:
        """As :class:`Engine`; raises :class:`MosaicFusionError` if there is no such device."""
        return resolve_dtype(wanted, resolve_device(self._options.device))

    def load(self, header: dict[str, Any], out: Path) -> None:
        """As :class:`Engine`."""
        self._sampler = CanvasSampler.load(header, self._options)

    def draw(self, work: BatchQueue, on_progress: OnProgress | None = None) -> None:
        """As :class:`Engine`."""
        generate_batches(self._sampler, work, on_progress)


def generate_batches(sampler: CanvasSampler, work: BatchQueue, on_progress: OnProgress | None = None) -> None:
    """Draw the batches of a share; images and masks are made, and parts written, beside the sampler."""
    batch: list[int] = []
    pending: deque[tuple[list[int], list[int], list[Future[CanvasRecord]]]] = deque()  # batch, failed, records

    def write_first() -> None:
        drawn, failed, records = pending.popleft()
        keep(work.run, drawn, [record.result() for record in records])
        work.finish(drawn, failed)

    def on_step(step: int, steps: int) -> None:
        while pending and all(record.done() for record in pending[0][2]):
            write_first()
        if on_progress:
            waiting = sum(len(drawn) for drawn, _, _ in pending)
            on_progress(work.done + waiting + len(batch) * step / steps, work.total)

    workers = max(1, min(4, (os.cpu_count() or 1) - 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="masks") as pool:
        try:
            for batch in work:
                on_step(0, 1)
                drawn, failed = sampler.draw(batch, on_step)
                records = [pool.submit(record_canvas, canvas, sampler.plan.config, work.run) for canvas in drawn]
                pending.append((batch, failed, records))
                batch = []  # counts as pending now
                while len(pending) > _MAX_PENDING:
                    write_first()
        finally:  # after Ctrl-C too: what was sampled is kept
            while pending:
                write_first()


def keep(run: RunFolder, batch: Sequence[int], records: Sequence[CanvasRecord]) -> None:
    """Write the part of a batch; canvases without an image are noted as failures, so that they can be drawn again."""
    blank = [record.index for record in records if record.file_name is None]
    note_failures(run, blank, batch, "nan", MESSAGES["nan"])
    if records:
        with stage("write part"):
            run.write_part(records)
    forget_failures(run, [record.index for record in records if record.file_name is not None])
