"""The desk of a reviewer: what the page asks for and what it is told, without the web."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.review.objects import Objects, Query, select
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import REVIEWS, Place, Reviews, Verdict, Word, append, now

WORDS = ["none", "accept", "reject", "wrong_mask", "relabel", "conflict"]
_MOST_AT_ONCE = 500  # rows of an answer


class Desk:
    """One run and one reviewer. Other reviewers and a running `generate` may write to the run meanwhile.

    ``who``: the reviewer's name, which stands in every line of ``reviews.jsonl``.
    """

    def __init__(self, run: RunFolder, who: str) -> None:
        self.run, self.who = run, who
        self.objects = Objects(run)
        self.reviews = Reviews.read(run.path)
        self._lock = threading.RLock()
        self._undo: list[list[Verdict]] = []
        self._verdicts: NDArray[np.int8] = np.zeros(0, np.int8)
        self._size = self._file_size()

    def refresh(self) -> None:
        """Read what others have added: canvases, and verdicts."""
        with self._lock:
            grown = self.objects.refresh()
            if self._file_size() != self._size:
                self.reviews, self._size = Reviews.read(self.run.path), self._file_size()
                grown = 1
            if grown or len(self._verdicts) != len(self.objects):
                self._mark_all()

    def state(self) -> dict[str, Any]:
        """Counts, and the choices of the filters."""
        with self._lock:
            reasons = np.bincount(self.objects.columns["reason"], minlength=len(self.objects.reasons)).tolist()
            words = np.bincount(self._verdicts, minlength=len(WORDS)).tolist()
            return {
                "run": self.run.path.resolve().name,
                "who": self.who,
                "canvases": self.objects.canvases,
                "planned": self.run.total,
                "objects": len(self.objects),
                "reasons": {name: reasons[k] for k, name in enumerate(self.objects.reasons)},
                "categories": self.objects.names,
                "verdicts": {word: count for word, count in zip(WORDS, words, strict=True) if count},
                "conflicts": len(self.reviews.conflicts()),
                "undo": len(self._undo),
            }

    def find(self, query: Query, offset: int = 0, limit: int = 200) -> dict[str, Any]:
        """A page of the objects that a query asks for, and their number."""
        with self._lock:
            rows = self._select(query)
            return {
                "total": len(rows),
                "rows": [self._row(row) for row in rows[offset : offset + min(limit, _MOST_AT_ONCE)]],
            }

    def about(self, canvas: int) -> dict[str, Any]:
        """Describe one canvas: its objects with prompts and values, and what people say of them."""
        with self._lock:
            record = self.objects.record(canvas)
            rows = self.objects.rows_of(canvas)
            return {
                "canvas": canvas,
                "hw": record.hw_px,
                "objects": [
                    {
                        **self._row(row),
                        "box": list(region.region_xywh),
                        "prompt": region.prompt,
                        "hidden": region.hidden_part,
                        "said": [
                            {"who": verdict.who, "verdict": verdict.verdict, "when": verdict.when, "why": verdict.why}
                            for verdict in self.reviews.said((canvas, k))
                        ],
                    }
                    for k, (row, region) in enumerate(zip(rows, record.regions, strict=True))
                ],
            }

    def decide(self, places: Sequence[Place], word: str, category: str = "", why: str = "") -> int:
        """Write a verdict on some objects or canvases; returns their number. Raises :class:`MosaicFusionError`."""
        if word not in get_args(Word):
            raise MosaicFusionError(f"{word!r:.40} is no verdict; choose one of {', '.join(get_args(Word))}")
        id_ = self._category_id(category) if word == "relabel" else None
        with self._lock:
            for canvas, region in places:
                rows = self.objects.rows_of(canvas)
                if not len(rows) or (region is not None and not 0 <= region < len(rows)):
                    raise MosaicFusionError(f"there is no object {region} on canvas {canvas}")
            made = [Verdict(canvas, k, word, self.who, now(), why, id_) for canvas, k in places]  # type: ignore[arg-type]
            before = [
                self.reviews.of(self.who, place) or Verdict(*place, "none", self.who)
                for place in dict.fromkeys(verdict.place for verdict in made)
            ]
            self._write(made)
            self._undo.append(before)
            return len(made)

    def decide_all(self, query: Query, word: str, category: str = "", why: str = "") -> int:
        """Write a verdict on everything that a query asks for."""
        with self._lock:
            columns, rows = self.objects.columns, self._select(query)
            places = [(int(columns["canvas"][row]), int(columns["region"][row])) for row in rows]
            return self.decide(places, word, category, why)

    def undo(self) -> int:
        """Take the last decision of this session back; returns the number of objects."""
        with self._lock:
            if not self._undo:
                return 0
            before = self._undo.pop()
            self._write([msgspec.structs.replace(verdict, when=now()) for verdict in before])
            return len(before)

    def _write(self, verdicts: Sequence[Verdict]) -> None:
        self.refresh()
        append(self.run.path, verdicts)
        for verdict in verdicts:
            self.reviews.add(verdict)
        self._size = self._file_size()
        conflicts = self.reviews.conflicts()
        for canvas in {verdict.canvas for verdict in verdicts}:
            self._mark(self.objects.rows_of(canvas), conflicts)

    def _mark_all(self) -> None:
        self._verdicts = np.zeros(len(self.objects), np.int8)
        conflicts = self.reviews.conflicts()
        for canvas in self.reviews.canvases():
            self._mark(self.objects.rows_of(canvas), conflicts)

    def _mark(self, rows: NDArray[np.intp], conflicts: dict[Place, list[Verdict]]) -> None:
        for k, row in enumerate(rows):
            canvas = int(self.objects.columns["canvas"][row])
            verdict = self.reviews.on(canvas, k) or self.reviews.on(canvas, None)
            word = "none" if verdict is None else verdict.verdict
            self._verdicts[row] = WORDS.index("conflict" if (canvas, k) in conflicts else word)

    def _select(self, query: Query) -> NDArray[np.intp]:
        return select(self.objects, query, self._verdicts, WORDS)

    def _row(self, row: int | np.intp) -> dict[str, Any]:
        columns = self.objects.columns
        canvas, region = int(columns["canvas"][row]), int(columns["region"][row])
        verdict = self.reviews.on(canvas, region)
        relabelled = None if verdict is None or verdict.category_id is None else self._name(verdict.category_id)
        values = {
            name: None if np.isnan(columns[name][row]) else round(float(columns[name][row]), 3)
            for name in ("quality", "semantics", "score", "size")
        }
        return {
            "canvas": canvas,
            "region": region,
            "category": self.objects.names[columns["category"][row]],
            "relabelled": relabelled,
            "reason": self.objects.reasons[columns["reason"][row]],
            "verdict": WORDS[self._verdicts[row]],
            **values,
        }

    def _category_id(self, name: str) -> int:
        for category in self.run.categories:
            if category.name == name:
                return category.id
        raise MosaicFusionError(f"{name!r:.60} is no category of this run")

    def _name(self, id_: int) -> str | None:
        return next((category.name for category in self.run.categories if category.id == id_), None)

    def _file_size(self) -> int:
        path = self.run.path / REVIEWS
        return path.stat().st_size if path.exists() else 0
