"""The batches that a process generates: each is claimed first, so that no other process generates it at the same time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import is_remote
from mosaicfusion.generation.batches import WHOLE, Shard, missing_batches
from mosaicfusion.generation.events import CanvasDone, Observer
from mosaicfusion.masks.rejection import RejectionReason
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import MESSAGES, NAN_ADVICE, Reason, note_failures, read_failures
from mosaicfusion.run.folder import RunFolder

_log = logging.getLogger(__name__)
_MAX_FAILED = 3  # batches in a row, before the run stops: no other batch would succeed


class BatchQueue:
    """Batches to generate; iterating claims them one by one, and each must be passed to :meth:`finish`.

    ``batches``: lists of rising indices. ``total``: canvases of the share, of which ``done`` exist and ``generated`` are of this
    process. ``missing(batch)``: the canvases of a claimed batch that still do not exist; another process may have been faster.
    """

    def __init__(
        self,
        run: RunFolder,
        claims: Claims,
        batches: Iterable[list[int]],
        total: int,
        done: int = 0,
        missing: Callable[[list[int]], list[int]] = list,
        observer: Observer | None = None,
    ) -> None:
        self.run, self.total, self.done, self.generated = run, total, done, 0
        self.observer = observer or Observer()
        self._claims, self._batches, self._missing = claims, batches, missing
        self._failed_in_a_row = 0
        self._last = time.monotonic()

    def __iter__(self) -> Iterator[list[int]]:
        """Batches that no other process generates. Raises :class:`CancelledError` once the job is cancelled."""
        for batch in self._batches:
            self.observer.check_cancelled()
            claimed = self._claims.take(batch)
            missing = self._missing(batch) if claimed else []
            self.done += len(batch) - len(missing)
            if missing:
                yield missing
            elif claimed:
                self._claims.give_back(batch)

    def finish(
        self,
        batch: Sequence[int],
        canvases: Sequence[CanvasDone] = (),
        failed: Sequence[int] = (),
        reason: Reason = "out_of_memory",
    ) -> None:
        """Give back a batch whose ``canvases`` are in the run folder; the ``failed`` ones are noted with their reason.

        Raises :class:`MosaicFusionError` when several batches in a row failed completely, or became NaN.
        """
        note_failures(self.run, failed, batch, reason)
        self._claims.give_back(batch)
        self.done += len(batch)
        self.generated += len(batch) - len(failed)
        now = time.monotonic()
        _log.debug("canvases %d to %d: %.2f s each", batch[0], batch[-1], (now - self._last) / len(batch))
        self._last = now
        self.observer.canvases(canvases)
        self.observer.failed(failed, MESSAGES[reason])
        nan = [
            canvas for canvas in canvases if not canvas.kept and set(canvas.rejected) == {RejectionReason.NAN_LATENTS}
        ]
        self._failed_in_a_row = self._failed_in_a_row + 1 if len(failed) + len(nan) == len(batch) else 0
        if self._failed_in_a_row == _MAX_FAILED:
            why = f"{MESSAGES['nan']}; {NAN_ADVICE}" if nan else MESSAGES[reason]
            raise MosaicFusionError(f"{_MAX_FAILED} batches in a row could not be generated: {why}")


def missing_queue(
    run: RunFolder, claims: Claims, batch_size: int, shard: Shard = WHOLE, observer: Observer | None = None
) -> BatchQueue:
    """The canvases that a run, or a shard of it, lacks."""
    group_size, done = run.manifest.config.layout.group_size, run.done()
    # The whole batch again, so that images come out to the same bytes.
    lost = {index for part in run.without_image() for index in part if index < run.total}
    done[list(lost)] = False

    def missing(batch: list[int]) -> list[int]:
        if is_remote(run.path):  # there are no claims that another process could have held
            return batch
        first = batch[0] // group_size * group_size
        existing = run.done_among(range(first, first + group_size)) - lost
        return [index for index in batch if index not in existing]

    groups = list(shard.groups(run.total, group_size))
    total = sum(map(len, groups))
    existing = sum(int(done[group.start : group.stop].sum()) for group in groups)
    batches = missing_batches(done, group_size, batch_size, shard)
    return BatchQueue(run, claims, batches, total, existing, missing, observer)


def failed_queue(run: RunFolder, claims: Claims, observer: Observer | None = None) -> BatchQueue:
    """The canvases that failed, each in the batch in which it failed: so it comes out as if it had not."""
    batches = sorted({failure.batch for failure in read_failures(run)})
    return BatchQueue(run, claims, map(list, batches), sum(map(len, batches)), observer=observer)
