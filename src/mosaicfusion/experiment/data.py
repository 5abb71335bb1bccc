"""The training sets of an experiment: drawn, chosen and merged, each at most once.

exp/drawn/four/            a run folder of `mosaicfusion generate`
exp/data/5d0c...json       a training set, named by what decides it; beside it its images, as links

Processes that work on one experiment wait for each other where they need the same: one draws a drawing, and one merges.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from mosaicfusion.categories import Selection
from mosaicfusion.config import BUNDLED_MODEL
from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.dataset.lvis import compile_lvis, is_used, to_bytes
from mosaicfusion.dataset.merge.merge import merge
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import Generation, Part, Run, SyntheticSet
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.generation.events import on_progress
from mosaicfusion.generation.generate import generate
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.identity import fingerprint
from mosaicfusion.models.hub import digest, find_model
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

Show = Callable[[float, int], None]
Bar = Callable[[str, str], AbstractContextManager[Show]]
"""Makes a progress bar of what is done and in which unit; inside it, call with what is done and the total."""

_IMAGES = "images"


@dataclass(frozen=True)
class TrainingData:
    """Makes the training sets of runs. ``real``: a folder with ``train.json``, ``val.json`` and ``images``; ``canvases``: part of
    the canvases of the plan that are drawn, at least one a category.
    """

    real: Path
    out: Path
    canvases: float
    device: str

    def __post_init__(self) -> None:
        missing = [name for name in ("train.json", "val.json", _IMAGES) if not (self.real / name).exists()]
        if missing:
            raise MosaicFusionError(
                f"{self.real} has no {' and no '.join(missing)}; give the folder of MiniLVIS with --data, which is "
                "datasets/minilvis of the source repository: it is not part of the installed package"
            )

    @property
    def root(self) -> Path:
        """What the file names of all training sets are relative to."""
        return self.out / "data"

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of the real sets and the model, 16 hex digits each."""
        sets = {
            name: fingerprint((self.real / name).read_text(encoding="utf-8")) for name in ("train.json", "val.json")
        }
        return {**sets, "model": digest(find_model(BUNDLED_MODEL))}

    def identity(self, run: Run) -> str:
        """16 hex digits over what decides a run's training set."""
        drawn = None if run.variant.drawn is None else [asdict(run.variant.drawn), self.canvases, self.digests["model"]]
        parts = [str(drawn), run.variant.real, run.open_vocabulary, self.digests["train.json"]]
        return fingerprint(parts)

    def make(self, run: Run, bar: Bar) -> Path:
        """The json of a run's training set, drawn and merged unless it is there already."""
        path = self.root / f"{self.identity(run)}.json"
        if path.exists():
            return path
        drawn = run.variant.drawn
        sources = [] if drawn is None else self._sources(drawn, bar)
        with _locked(self.out / "data.lock"):
            if path.exists():  # another process made it meanwhile
                return path
            self._link_images()
            real = self.real / "train.json" if run.variant.real else self._without_rows()
            with bar("merging", "images") as show:
                merge(real, sources, path, open_vocabulary=run.open_vocabulary, image_mode="link", on_image=show)
        return path

    def _sources(self, drawn: SyntheticSet, bar: Bar) -> list[Path]:
        """Jsons in the drawings' run folders that hold the chosen canvases."""
        chosen = self._choose(drawn, bar)
        return [self._write_choice(run, records, drawn) for run, records in chosen]

    def _choose(self, drawn: SyntheticSet, bar: Bar) -> list[tuple[RunFolder, list[CanvasRecord]]]:
        """The canvases of each part that are in the set."""
        if drawn.like is None:
            return [self._first_canvases(part.drawing, drawn, bar) for part in drawn.parts]
        instances = sum(_instances(records) for _, records in self._choose(drawn.like, bar))
        return [self._as_many(part, drawn, instances, bar) for part in drawn.parts]

    def _first_canvases(
        self, drawing: Generation, drawn: SyntheticSet, bar: Bar
    ) -> tuple[RunFolder, list[CanvasRecord]]:
        assert drawn.canvases_per_category is not None
        each = max(1, round(drawn.canvases_per_category * self.canvases))
        run = self.draw(drawing, each, bar)
        end = each * len(run.manifest.categories.main)  # a larger set may have been drawn before
        return run, [record for record in accepted(run) if record.index < end and is_used(record, drawn.policy)]

    def _as_many(
        self, part: Part, drawn: SyntheticSet, instances: int, bar: Bar
    ) -> tuple[RunFolder, list[CanvasRecord]]:
        """The first canvases that hold the part's share of the instances; more are drawn until there are enough."""
        wanted = round(part.share * instances)
        each = max(1, math.ceil(wanted / part.drawing.regions / len(self._selection(part.drawing).main)))
        while True:
            run = self.draw(part.drawing, each, bar)
            chosen = take_instances((r for r in accepted(run) if is_used(r, drawn.policy)), wanted)
            if _instances(chosen) == wanted:
                return run, chosen
            each += 1

    def draw(self, drawing: Generation, canvases_per_category: int, bar: Bar) -> RunFolder:
        """A run folder with at least so many canvases of each leading category; what is there is not drawn again."""
        path = self.out / "drawn" / drawing.name
        overrides = {"layout": {"grids": drawing.grids}, "masks": {"refine": drawing.refine}}
        with _locked(self.out / "drawn" / f"{drawing.name}.lock"):
            if (path / "run.json").exists():  # a run can grow, not shrink
                canvases_per_category = max(canvases_per_category, RunFolder.open(path).manifest.canvases_per_category)
            with bar(f"drawing {drawing.name}", "canvases") as show:
                generate(
                    self._selection(drawing),
                    out=path,
                    canvases_per_category=canvases_per_category,
                    config=make_config(None, overrides),
                    device=self.device,
                    on_event=on_progress(show),
                )
        return RunFolder.open(path)

    def _selection(self, drawing: Generation) -> Selection:
        known = vocabulary_for(BUNDLED_MODEL, None, self.real / "train.json")
        return Selection(known.with_frequency(drawing.lead), known)

    def _write_choice(self, run: RunFolder, records: Sequence[CanvasRecord], drawn: SyntheticSet) -> Path:
        """The chosen canvases as a json beside their images."""
        known = vocabulary_for(BUNDLED_MODEL, None, self.real / "train.json")
        data = to_bytes(compile_lvis(records, list(known), drawn.policy))
        path = run.path / f"{run.path.name}-{drawn.policy}-{len(records)}.json"
        write_atomic(path, data)
        return path

    def _link_images(self) -> None:
        """The real images, under the root of the drawn ones."""
        link, images = self.root / _IMAGES, (self.real / _IMAGES).resolve()
        if link.exists() and link.resolve() != images:
            raise MosaicFusionError(f"{self.out} holds an experiment on {link.resolve().parent}; give another --out")
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)  # one that leads nowhere
            link.symlink_to(os.path.relpath(images, self.root.resolve()), target_is_directory=True)

    def _without_rows(self) -> Path:
        """The real set with its categories alone."""
        path = self.root / "categories.json"
        write_atomic(path, DatasetFile.open(self.real / "train.json").with_lists(images=[], annotations=[]))
        return path


def take_instances(records: Iterable[CanvasRecord], wanted: int) -> list[CanvasRecord]:
    """The first canvases that together hold ``wanted`` instances, or fewer if that is all; one that goes over it is left out."""
    chosen, count = [], 0
    for record in records:
        kept = _instances([record])
        if count + kept <= wanted:
            chosen.append(record)
            count += kept
        if count == wanted:
            break
    return chosen


def _locked(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _instances(records: Iterable[CanvasRecord]) -> int:
    return sum(region.kept for record in records for region in record.regions)
