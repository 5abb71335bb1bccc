"""Dealing batches to workers that may die: what they had under way is dealt again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.engine import BatchQueue, OnProgress

_IN_FLIGHT = 2  # batches of a worker: one is sampled while the masks of the other are made
_MAX_DEATHS = 3  # of workers on one batch, or in a row while they load the model
_WAIT_S = 600  # for a first worker, or for another after the last has died


@dataclass
class _Load:
    """A batch, how many workers died on it, and how many of its canvases may be drawn together."""

    batch: list[int]
    deaths: int = 0
    at_most: int | None = None


@dataclass
class _Running:
    """A worker, ``ready`` when its model is loaded, and what it has under way."""

    actor: Any
    ready: bool = False
    loads: list[_Load] = field(default_factory=list)

    def takes(self, load: _Load) -> bool:
        """A batch that a worker died on is drawn alone: the next death then is its own."""
        if load.deaths:
            return self.ready and not self.loads
        return self.ready and len(self.loads) < _IN_FLIGHT and not any(load.deaths for load in self.loads)


class WorkerPool:
    """``count`` workers made by ``start``, each an actor with the methods of :class:`mosaicfusion.generation.ray.worker.Worker`.

    The number of batches under way is bounded by that of the workers, however long the run.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], count: int) -> None:
        self._ray, self._start, self._count = ray, start, count
        self._running: list[_Running] = []
        self._tasks: dict[Any, tuple[_Running, _Load | None]] = {}  # no batch: the worker loads its model
        self._again: deque[_Load] = deque()
        self._deaths_while_loading = 0
        self._last_seen = time.monotonic()

    def begin(self) -> None:
        """Start the workers and wait for the first; raises the :class:`MosaicFusionError` of one that cannot draw."""
        for _ in range(self._count):
            self._start_one()
        while not any(worker.ready for worker in self._running):
            self._wait(None)

    def deal(self, work: BatchQueue, on_progress: OnProgress | None = None) -> None:
        """Have all batches drawn."""
        batches = map(_Load, work)
        while True:
            self._hand_out(batches)
            if on_progress:
                on_progress(work.done, work.total)
            if not any(worker.loads for worker in self._running) and not self._again:
                load = next(batches, None)
                if load is None:
                    return
                self._again.append(load)  # no worker is ready
            self._wait(work)

    def stop(self) -> None:
        """End the workers."""
        for worker in self._running:
            self._kill(worker)

    def _start_one(self) -> None:
        worker = _Running(self._start())
        self._running.append(worker)
        self._tasks[worker.actor.load.remote()] = worker, None

    def _hand_out(self, batches: Iterator[_Load]) -> None:
        """Round after round, so that the last batches are spread."""
        while True:
            dealt = False
            for worker in sorted(self._running, key=lambda worker: len(worker.loads)):
                load = self._next(worker, batches)
                if load is not None:
                    worker.loads.append(load)
                    self._tasks[worker.actor.draw.remote(load.batch, load.at_most)] = worker, load
                    dealt = True
            if not dealt:
                return

    def _next(self, worker: _Running, batches: Iterator[_Load]) -> _Load | None:
        if self._again and worker.takes(self._again[0]):
            return self._again.popleft()
        return next(batches, None) if worker.takes(_Load([])) else None

    def _wait(self, work: BatchQueue | None) -> None:
        ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=1)
        if any(worker.ready for worker in self._running):
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > _WAIT_S:
            raise MosaicFusionError(f"no worker could be started in {_WAIT_S} s; the Ray cluster has no room for one")
        for task in ended:
            if task in self._tasks:  # not that of a worker which died of another
                self._end(task, work)

    def _end(self, task: Any, work: BatchQueue | None) -> None:
        exceptions = self._ray.exceptions
        worker, load = self._tasks.pop(task)
        try:
            failed = self._ray.get(task)
        except exceptions.RayTaskError as error:  # raised by our code in the worker
            if isinstance(error.cause, MosaicFusionError):
                raise MosaicFusionError(str(error.cause)) from None
            raise
        except exceptions.RayError as error:
            self._bury(worker, load, isinstance(error, exceptions.OutOfMemoryError), work)
            return
        if load is None:
            worker.ready, self._deaths_while_loading = True, 0
        elif work is not None:
            worker.loads.remove(load)
            work.finish(load.batch, failed)

    def _bury(self, worker: _Running, load: _Load | None, out_of_memory: bool, work: BatchQueue | None) -> None:
        """Start another worker; deal again what this one had, in halves where Ray ended it for want of memory."""
        self._running.remove(worker)
        self._kill(worker)
        self._tasks = {task: pair for task, pair in self._tasks.items() if pair[0] is not worker}
        if load is None:
            self._deaths_while_loading += 1
            if self._deaths_while_loading == _MAX_DEATHS:
                raise MosaicFusionError(f"{_MAX_DEATHS} workers in a row died while they loaded the model")
        for lost in worker.loads:
            lost.deaths += 1
            if out_of_memory:
                lost.at_most = max(1, (lost.at_most or len(lost.batch)) // 2)
            if lost.deaths < _MAX_DEATHS:
                self._again.append(lost)
            elif work is not None:
                work.finish(lost.batch, lost.batch, "out_of_memory" if out_of_memory else "worker_lost")
        self._start_one()

    def _kill(self, worker: _Running) -> None:
        with suppress(Exception):  # it may be dead, and its cluster gone
            self._ray.kill(worker.actor)
