"""Workers that die or fail in many ways, on a real Ray of this machine; they generate nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.events import CanvasDone, Observer, progress_handler
from mosaicfusion.generation.queue import BatchQueue
from mosaicfusion.generation.ray.cluster import connected
from mosaicfusion.generation.ray.worker_pool import WorkerPool
from mosaicfusion.generation.scale import Scale
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with connected(Scale(workers=2)) as module:
        yield module


class Job:
    """40 batches of two canvases, given to two actors of a class."""

    def __init__(self, ray: Any, folder: Path, actor: type) -> None:
        from support.manifests import KITE, make_manifest  # not above: workers import this module, and lack tests/

        self.run = RunFolder(folder, make_manifest(80, [KITE]))
        self._pool = WorkerPool(ray, ray.remote(actor).options(num_cpus=0, max_concurrency=2).remote, 2)
        self.max_in_progress = self.taken = 0

    def generate(self) -> BatchQueue:
        with Claims(self.run.path) as claims:
            observer = Observer(progress_handler(lambda done, _: self._look(done)))
            queue = BatchQueue(self.run, claims, self._batches(), 80, observer=observer)
            try:
                self._pool.start()
                self._pool.run(queue)
            finally:
                self._pool.stop()
        return queue

    def _batches(self) -> Iterator[list[int]]:
        for first in range(0, 80, 2):
            self.taken += 2
            yield [first, first + 1]

    def _look(self, done: float) -> None:
        self.max_in_progress = max(self.max_in_progress, self.taken - int(done))


def mark(folder: Path, batch: list[int]) -> None:
    """Note a batch that was begun: a worker that dies returns nothing."""
    with (folder / "begun").open("a") as file:
        file.write(f"{batch[0]}\n")


def begun(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "begun").read_text().split())


def test_the_number_of_canvases_in_progress_is_bounded(ray: Any, tmp_path: Path) -> None:
    class SuccessfulWorker:
        def load(self) -> None:
            pass

        def generate(self, batch: list[int], max_size: int | None) -> tuple[list[CanvasDone], list[int]]:
            mark(tmp_path, batch)
            return [], []

    job = Job(ray, tmp_path, SuccessfulWorker)
    assert job.generate().done == 80
    assert begun(tmp_path) == list(range(0, 80, 2))
    assert job.max_in_progress <= 2 * 2 * 2  # two workers, two batches, two canvases


def test_a_batch_that_kills_workers_is_given_up_and_the_others_are_generated(ray: Any, tmp_path: Path) -> None:
    class DyingWorker:
        def load(self) -> None:
            pass

        def generate(self, batch: list[int], max_size: int | None) -> tuple[list[CanvasDone], list[int]]:
            mark(tmp_path, batch)
            if 6 in batch:
                os._exit(1)
            return [], []

    job = Job(ray, tmp_path, DyingWorker)
    assert job.generate().done == 80
    assert begun(tmp_path).count(6) == 3
    assert set(begun(tmp_path)) == set(range(0, 80, 2))
    assert [(failure.canvas, failure.batch, failure.reason) for failure in read_failures(job.run)] == [
        (6, (6, 7), "worker_lost"),
        (7, (6, 7), "worker_lost"),
    ]


def test_canvases_that_do_not_fit_are_noted(ray: Any, tmp_path: Path) -> None:
    class WorkerWithLittleMemory:
        def load(self) -> None:
            pass

        def generate(self, batch: list[int], max_size: int | None) -> tuple[list[CanvasDone], list[int]]:
            return [], [index for index in batch if index == 9]

    job = Job(ray, tmp_path, WorkerWithLittleMemory)
    job.generate()
    assert [(failure.canvas, failure.reason) for failure in read_failures(job.run)] == [(9, "out_of_memory")]


def test_the_message_of_a_worker_error_is_kept(ray: Any, tmp_path: Path) -> None:
    class WorkerWithFullDisk:
        def load(self) -> None:
            pass

        def generate(self, batch: list[int], max_size: int | None) -> tuple[list[CanvasDone], list[int]]:
            raise MosaicFusionError("cannot write: No space left on device")

    with pytest.raises(MosaicFusionError) as caught:
        Job(ray, tmp_path, WorkerWithFullDisk).generate()
    assert str(caught.value) == "cannot write: No space left on device"


def test_an_error_while_loading_is_raised(ray: Any, tmp_path: Path) -> None:
    class WorkerWithoutModel:
        def load(self) -> None:
            raise MosaicFusionError("there is no model folder x")

    with pytest.raises(MosaicFusionError) as caught:
        Job(ray, tmp_path, WorkerWithoutModel).generate()
    assert str(caught.value) == "there is no model folder x"


def test_workers_that_die_while_loading_stop_the_run(ray: Any, tmp_path: Path) -> None:
    class WorkerDyingWhileLoading:
        def load(self) -> None:
            os._exit(1)

    with pytest.raises(MosaicFusionError, match="3 workers in a row died while they loaded the model"):
        Job(ray, tmp_path, WorkerDyingWhileLoading).generate()
