"""The log of a training: JSON lines of losses and times, consistent after an interruption."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from mosaicfusion.detectors.checkpoint import LOG
from mosaicfusion.files.atomic import write_atomic


class TrainLog:
    """Average losses and times over ``every`` steps and write them as one line of ``log.jsonl``.

    A line: ``step`` (steps taken so far), each loss and their sum ``loss``, ``learning_rate``, ``step_s`` and the part of it
    spent waiting for images, ``data_s``, ``images_per_s``, and on a GPU ``memory_mb``, the peak. Lines after step ``start``,
    where training resumes, are removed and written again.
    """

    def __init__(self, folder: Path, start: int, every: int, batch_size: int, enabled: bool = True) -> None:
        self._path, self._every, self._batch_size, self._enabled = folder / LOG, every, batch_size, enabled
        self.seconds = self._data_seconds = 0.0
        self.latest: dict[str, float] = {}
        self.last_loss: float | None = None
        self._step: defaultdict[str, float] = defaultdict(float)
        self._recent: deque[float] = deque(maxlen=every)
        self._waited = 0.0
        self._reset()
        if enabled and self._path.exists():
            write_atomic(self._path, "".join(_lines_until(self._path, start)).encode())
        self._start = time.perf_counter()

    @property
    def data_share(self) -> float:
        """Share of the time spent waiting for images, in [0, 1]."""
        return self._data_seconds / self.seconds if self.seconds else 0.0

    @property
    def recent_loss(self) -> float:
        """Mean loss of the last ``every`` steps; NaN before the first."""
        return sum(self._recent) / len(self._recent) if self._recent else math.nan

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting for images."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def add(self, losses: Mapping[str, Tensor], parts: int) -> None:
        """Add the losses of one of the ``parts`` of a step."""
        for name, value in losses.items():
            self._step[name] += float(value.detach()) / parts
        self.latest = dict(self._step)

    def end_step(self, done: int, rate: float) -> None:
        """Finish a step; ``done``: steps taken so far."""
        self._count += 1
        self._recent.append(sum(self._step.values()))
        for name, value in self._step.items():
            self._sums[name] += value
        self._step.clear()
        if done % self._every == 0:
            self._write(done, rate)

    def close(self) -> None:
        """Add the time of the steps since the last line."""
        self._add_time()

    def _write(self, done: int, rate: float) -> None:
        step_s, data_s = self._add_time()
        losses = {name: value / self._count for name, value in self._sums.items()}
        self.last_loss = sum(losses.values())
        line = {
            "step": done,
            "loss": round(self.last_loss, 5),
            **{name: round(value, 5) for name, value in losses.items()},
            "learning_rate": rate,
            "step_s": round(step_s / self._count, 4),
            "data_s": round(data_s / self._count, 4),
            "images_per_s": round(self._batch_size * self._count / step_s, 2),
        }
        if torch.cuda.is_available():
            line["memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
        if self._enabled:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self._reset()

    def _add_time(self) -> tuple[float, float]:
        now = time.perf_counter()
        spent, waited = now - self._start, self._waited
        self.seconds += spent
        self._data_seconds += waited
        self._start, self._waited = now, 0.0
        return spent, waited

    def _reset(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._count, self._waited = 0, 0.0


def _lines_until(path: Path, step: int) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            kept = json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError):  # the last line of a killed process may be incomplete
            continue
        if kept:
            yield line + "\n"
