"""The objects of a run in columns, so that hundreds of thousands are filtered and sorted at once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord
from mosaicfusion.run.semantics import read_semantics

OnProgress = Callable[[float, int], None]
KEPT = "kept"
_COLUMNS: dict[str, type] = {
    "canvas": np.int32,
    "region": np.int16,
    "category": np.int32,  # place in ``names``
    "reason": np.int16,  # place in ``reasons``, 0 for kept
    "quality": np.float32,
    "semantics": np.float32,
    "score": np.float32,
    "size": np.float32,  # side of a square of the mask's area, as a part of that of the canvas
    "part": np.int32,  # place in the part files
}
SORTABLE = ("canvas", "quality", "semantics", "score", "size")


class Objects:
    """All regions of a run, kept and rejected, in the order of its canvases. Values that a region lacks are NaN.

    ``names``: categories; ``reasons``: of rejection, after :data:`KEPT`. ``canvases``: number of those that were read.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.names = [category.name for category in run.categories]
        self.reasons = [KEPT]
        self.canvases = 0
        self.columns: dict[str, NDArray[Any]] = {name: np.zeros(0, kind) for name, kind in _COLUMNS.items()}
        self._files: list[Path] = []
        self._folder_time = 0
        self._read_part = lru_cache(maxsize=64)(self._parse)

    def __len__(self) -> int:
        return len(self.columns["canvas"])

    def refresh(self, on_progress: OnProgress | None = None) -> int:
        """Read the parts that are new since the last time, of a run that may be growing; returns the number of new objects.

        ``on_progress`` is called with (parts read, all new parts).
        """
        folder = self.run.path / "parts"
        changed = folder.stat().st_mtime_ns if folder.exists() else 0
        if changed == self._folder_time:  # no file came or went
            return 0
        self._folder_time = changed
        known, before = set(self._files), len(self)
        new = [file for file in self.run.part_files() if file not in known]
        if not new:
            return 0
        semantics = read_semantics(self.run.path) or {}
        seen = set(self.columns["canvas"].tolist())
        rows = {name: array("d") for name in _COLUMNS}
        category_of = {category.id: k for k, category in enumerate(self.run.categories)}
        for number, file in enumerate(new):
            for record in self.run.read_outlines(file):
                if record.index in seen:  # parts of two batch sizes may overlap
                    continue
                seen.add(record.index)
                self.canvases += 1
                area = record.hw_px[0] * record.hw_px[1]
                for k, region in enumerate(record.regions):
                    kept, classified = region.reason is None, semantics.get((record.index, k))
                    rows["canvas"].append(record.index)
                    rows["region"].append(k)
                    rows["category"].append(category_of[region.category_id])
                    rows["reason"].append(self._reason(region.reason))
                    rows["quality"].append(math.nan if region.quality is None else region.quality)
                    rows["semantics"].append(math.nan if classified is None else classified.probability)
                    rows["score"].append(region.score if kept else math.nan)
                    rows["size"].append(math.sqrt(region.area / area) if kept else math.nan)
                    rows["part"].append(len(self._files) + number)
            if on_progress:
                on_progress(number + 1, len(new))
        self._files += new
        fresh: dict[str, NDArray[Any]] = {
            name: np.frombuffer(rows[name], np.float64).astype(kind) for name, kind in _COLUMNS.items()
        }
        order = np.argsort(np.concatenate([self.columns["canvas"], fresh["canvas"]]), kind="stable")
        for name in _COLUMNS:
            self.columns[name] = np.concatenate([self.columns[name], fresh[name]])[order]
        return len(self) - before

    def rows_of(self, canvas: int) -> NDArray[np.intp]:
        """The rows of a canvas' regions, in their order."""
        first, last = np.searchsorted(self.columns["canvas"], [canvas, canvas + 1])
        return np.arange(first, last)

    def record(self, canvas: int) -> CanvasRecord:
        """The record of a canvas; raises :class:`MosaicFusionError` if the run has none."""
        rows = self.rows_of(canvas)
        if len(rows):
            for record in self._read_part(int(self.columns["part"][rows[0]])):
                if record.index == canvas:
                    return record
        raise MosaicFusionError(f"{self.run.path} holds no canvas {canvas}")

    def _parse(self, part: int) -> list[CanvasRecord]:
        return self.run.read_part(self._files[part])

    def _reason(self, reason: str | None) -> int:
        name = reason or KEPT
        if name not in self.reasons:
            self.reasons.append(name)
        return self.reasons.index(name)


@dataclass(frozen=True)
class Query:
    """A choice of objects, and their order. An empty text means all.

    ``category``: a name; ``show``: ``kept``, ``rejected``, or a reason of rejection; ``verdict``: a word, ``none`` for objects
    that nobody has looked at, or ``conflict``. ``sort``: one of :data:`SORTABLE`. ``least``, ``most``: of the value that is
    sorted by; ``None`` for no limit.
    """

    category: str = ""
    show: str = KEPT
    verdict: str = ""
    sort: str = "canvas"
    descending: bool = False
    least: float | None = None
    most: float | None = None

    @classmethod
    def parse(cls, values: dict[str, str]) -> Query:
        """From the parameters of an address; raises :class:`MosaicFusionError` for what is none."""
        sort = values.get("sort", "canvas")
        if sort not in SORTABLE:
            raise MosaicFusionError(f"sort={sort!r:.40} is none of {', '.join(SORTABLE)}")
        limits: dict[str, float | None] = {}
        for name in ("least", "most"):
            text = values.get(name, "")
            try:
                limits[name] = float(text) if text else None
            except ValueError:
                raise MosaicFusionError(f"{name}={text!r:.40} is not a number") from None
        return cls(
            values.get("category", ""),
            values.get("show", KEPT),
            values.get("verdict", ""),
            sort,
            values.get("order") == "descending",
            limits["least"],
            limits["most"],
        )


def select(objects: Objects, query: Query, verdicts: NDArray[np.int8], words: list[str]) -> NDArray[np.intp]:
    """The rows that a query asks for, in its order: intp (n,).

    ``verdicts``: int8 (objects,), the place of the last word on each object in ``words``.
    """
    columns = objects.columns
    chosen = np.ones(len(objects), bool)
    if query.category:
        if query.category not in objects.names:
            return np.zeros(0, np.intp)
        chosen &= columns["category"] == objects.names.index(query.category)
    if query.show == "rejected":
        chosen &= columns["reason"] > 0
    elif query.show:
        chosen &= columns["reason"] == (objects.reasons.index(query.show) if query.show in objects.reasons else -1)
    if query.verdict:
        chosen &= verdicts == (words.index(query.verdict) if query.verdict in words else -1)
    values = columns[query.sort]
    with np.errstate(invalid="ignore"):
        if query.least is not None:
            chosen &= values >= query.least
        if query.most is not None:
            chosen &= values <= query.most
    rows = np.flatnonzero(chosen)
    order = np.argsort(-values[rows] if query.descending else values[rows], kind="stable")  # NaN comes last
    return rows[order]
