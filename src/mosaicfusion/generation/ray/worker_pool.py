"""Workers that may die: the batches they had in progress are given to others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.queue import BatchQueue

_IN_PROGRESS = 2  # batches per worker: one is sampled while the masks of the other are made
_MAX_DEATHS = 3  # of workers on one batch, or in a row while they load the model
_WAIT_S = 600  # for a first worker, or for another after the last has died


@dataclass
class _Task:
    """A batch, the number of workers that died on it, and the number of its canvases that may be sampled together."""

    batch: list[int]
    deaths: int = 0
    max_size: int | None = None


@dataclass
class _WorkerState:
    """A worker, ``ready`` once its model is loaded, and its tasks in progress."""

    actor: Any
    ready: bool = False
    tasks: list[_Task] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        """True if another batch may be given to it."""
        return self.ready and len(self.tasks) < _IN_PROGRESS and not any(task.deaths for task in self.tasks)

    @property
    def is_free(self) -> bool:
        """True if it has no batch. One that a worker died on is generated alone: the next death then is its own."""
        return self.ready and not self.tasks


class WorkerPool:
    """``count`` actors made by ``make_actor``, with the methods of :class:`mosaicfusion.generation.ray.worker.Worker`.

    The number of batches in progress is bounded by the number of workers, however long the run.
    """

    def __init__(self, ray: Any, make_actor: Callable[[], Any], count: int) -> None:
        self._ray, self._make_actor, self._count = ray, make_actor, count
        self._workers: list[_WorkerState] = []
        self._calls: dict[Any, tuple[_WorkerState, _Task | None]] = {}  # without a task: the worker loads its model
        self._retries: deque[_Task] = deque()
        self._deaths_while_loading = 0
        self._last_ready = time.monotonic()

    def start(self) -> None:
        """Start the workers and wait for the first; raises the :class:`MosaicFusionError` of one that cannot load."""
        for _ in range(self._count):
            self._add_worker()
        while not any(worker.ready for worker in self._workers):
            self._wait(None)

    def run(self, queue: BatchQueue) -> None:
        """Have all batches generated. Raises :class:`CancelledError` once the job is cancelled."""
        tasks = map(_Task, queue)
        while True:
            self._assign(tasks)
            queue.observer.progress(queue.done, queue.total)
            if not any(worker.tasks for worker in self._workers) and not self._retries:
                task = next(tasks, None)
                if task is None:
                    return
                self._retries.append(task)  # no worker is ready
            self._wait(queue)

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            self._kill(worker)

    def _add_worker(self) -> None:
        worker = _WorkerState(self._make_actor())
        self._workers.append(worker)
        self._calls[worker.actor.load.remote()] = worker, None

    def _assign(self, tasks: Iterator[_Task]) -> None:
        """Give every worker one task at a time until none has room, so that the last batches are spread."""
        while True:
            assigned = False
            for worker in sorted(self._workers, key=lambda worker: len(worker.tasks)):
                task = self._next_task(worker, tasks)
                if task is not None:
                    worker.tasks.append(task)
                    self._calls[worker.actor.generate.remote(task.batch, task.max_size)] = worker, task
                    assigned = True
            if not assigned:
                return

    def _next_task(self, worker: _WorkerState, tasks: Iterator[_Task]) -> _Task | None:
        if self._retries and (worker.is_free if self._retries[0].deaths else worker.has_room):
            return self._retries.popleft()
        return next(tasks, None) if worker.has_room else None

    def _wait(self, queue: BatchQueue | None) -> None:
        """Wait up to a second for a call to end."""
        ended, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=1)
        if any(worker.ready for worker in self._workers):
            self._last_ready = time.monotonic()
        elif time.monotonic() - self._last_ready > _WAIT_S:
            raise MosaicFusionError(f"no worker could be started in {_WAIT_S} s; the Ray cluster has no room for one")
        for call in ended:
            if call in self._calls:  # not that of a worker which was replaced meanwhile
                self._end_call(call, queue)

    def _end_call(self, call: Any, queue: BatchQueue | None) -> None:
        exceptions = self._ray.exceptions
        worker, task = self._calls.pop(call)
        try:
            result = self._ray.get(call)
        except exceptions.RayTaskError as error:  # raised by our code in the worker
            if isinstance(error.cause, MosaicFusionError):
                raise MosaicFusionError(str(error.cause)) from None
            raise
        except exceptions.RayError as error:
            self._replace(worker, task, isinstance(error, exceptions.OutOfMemoryError), queue)
            return
        if task is None:
            worker.ready, self._deaths_while_loading = True, 0
        elif queue is not None:
            worker.tasks.remove(task)
            canvases, failed = result
            queue.finish(task.batch, canvases, failed)

    def _replace(self, worker: _WorkerState, task: _Task | None, out_of_memory: bool, queue: BatchQueue | None) -> None:
        """Start another worker; retry the tasks of the dead one, in halves where Ray ended it for lack of memory."""
        self._workers.remove(worker)
        self._kill(worker)
        self._calls = {call: pair for call, pair in self._calls.items() if pair[0] is not worker}
        if task is None:
            self._deaths_while_loading += 1
            if self._deaths_while_loading == _MAX_DEATHS:
                raise MosaicFusionError(f"{_MAX_DEATHS} workers in a row died while they loaded the model")
        for lost in worker.tasks:
            lost.deaths += 1
            if out_of_memory:
                lost.max_size = max(1, (lost.max_size or len(lost.batch)) // 2)
            if lost.deaths < _MAX_DEATHS:
                self._retries.append(lost)
            elif queue is not None:
                queue.finish(lost.batch, failed=lost.batch, reason="out_of_memory" if out_of_memory else "worker_lost")
        self._add_worker()

    def _kill(self, worker: _WorkerState) -> None:
        with suppress(Exception):  # it may be dead, and its cluster gone
            self._ray.kill(worker.actor)
