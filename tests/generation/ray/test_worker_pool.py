"""Workers that die in all ways, on a real Ray of this machine; they draw nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.engine import BatchQueue
from mosaicfusion.generation.ray.cluster import Scale, connected
from mosaicfusion.generation.ray.worker_pool import WorkerPool
from mosaicfusion.run.claims import Claims
from mosaicfusion.run.failures import read_failures
from mosaicfusion.run.folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with connected(Scale(workers=2)) as module:
        yield module


class Deal:
    """40 batches of two canvases, dealt to two actors of a class."""

    def __init__(self, ray: Any, folder: Path, actor: type) -> None:
        self.run = RunFolder(folder, {"canvases_per_category": 80, "categories": {"main": [{}]}})
        self._pool = WorkerPool(ray, ray.remote(actor).options(num_cpus=0, max_concurrency=2).remote, 2)
        self.most_under_way = self.taken = 0

    def draw(self) -> BatchQueue:
        with Claims(self.run.path) as claims:
            work = BatchQueue(self.run, claims, self._batches(), 80)
            try:
                self._pool.begin()
                self._pool.deal(work, lambda done, _: self._look(done))
            finally:
                self._pool.stop()
        return work

    def _batches(self) -> Iterator[list[int]]:
        for first in range(0, 80, 2):
            self.taken += 2
            yield [first, first + 1]

    def _look(self, done: float) -> None:
        self.most_under_way = max(self.most_under_way, self.taken - int(done))


def mark(folder: Path, batch: list[int]) -> None:
    """Leave a line of a batch that was begun: workers tell nothing else of what they did before they died."""
    with (folder / "begun").open("a") as file:
        file.write(f"{batch[0]}\n")


def begun(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "begun").read_text().split())


def test_a_bounded_number_is_under_way(ray: Any, tmp_path: Path) -> None:
    class Fine:
        def load(self) -> None:
            pass

        def draw(self, batch: list[int], at_most: int | None) -> list[int]:
            mark(tmp_path, batch)
            return []

    deal = Deal(ray, tmp_path, Fine)
    assert deal.draw().done == 80
    assert begun(tmp_path) == list(range(0, 80, 2))
    assert deal.most_under_way <= 2 * 2 * 2  # two workers, two batches, two canvases


def test_a_batch_that_kills_is_given_up_and_the_others_are_drawn(ray: Any, tmp_path: Path) -> None:
    class Mortal:
        def load(self) -> None:
            pass

        def draw(self, batch: list[int], at_most: int | None) -> list[int]:
            mark(tmp_path, batch)
            if 6 in batch:
                os._exit(1)
            return []

    deal = Deal(ray, tmp_path, Mortal)
    assert deal.draw().done == 80
    assert begun(tmp_path).count(6) == 3
    assert set(begun(tmp_path)) == set(range(0, 80, 2))
    assert [(failure.canvas, failure.batch, failure.reason) for failure in read_failures(deal.run)] == [
        (6, (6, 7), "worker_lost"),
        (7, (6, 7), "worker_lost"),
    ]


def test_what_does_not_fit_is_noted(ray: Any, tmp_path: Path) -> None:
    class Small:
        def load(self) -> None:
            pass

        def draw(self, batch: list[int], at_most: int | None) -> list[int]:
            return [index for index in batch if index == 9]

    deal = Deal(ray, tmp_path, Small)
    deal.draw()
    assert [(failure.canvas, failure.reason) for failure in read_failures(deal.run)] == [(9, "out_of_memory")]


def test_errors_of_a_worker_come_in_words(ray: Any, tmp_path: Path) -> None:
    class FullDisk:
        def load(self) -> None:
            pass

        def draw(self, batch: list[int], at_most: int | None) -> list[int]:
            raise MosaicFusionError("cannot write: No space left on device")

    with pytest.raises(MosaicFusionError) as caught:
        Deal(ray, tmp_path, FullDisk).draw()
    assert str(caught.value) == "cannot write: No space left on device"


def test_no_model(ray: Any, tmp_path: Path) -> None:
    class Poor:
        def load(self) -> None:
            raise MosaicFusionError("there is no model folder x")

    with pytest.raises(MosaicFusionError) as caught:
        Deal(ray, tmp_path, Poor).draw()
    assert str(caught.value) == "there is no model folder x"


def test_death_while_loading(ray: Any, tmp_path: Path) -> None:
    class Stillborn:
        def load(self) -> None:
            os._exit(1)

    with pytest.raises(MosaicFusionError, match="3 workers in a row died while they loaded the model"):
        Deal(ray, tmp_path, Stillborn).draw()
