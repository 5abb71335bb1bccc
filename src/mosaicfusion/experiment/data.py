"""The training sets of an experiment: generated, selected and merged, each at most once.

exp/synthetic/four/        a run folder of `mosaicfusion generate`
exp/data/5d0c...json       a training set, named by its identity; beside it its images, as links

Processes that work on one experiment wait for each other if they need the same canvases or sets.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mosaicfusion.categories import Selection
from mosaicfusion.config import BUNDLED_MODEL
from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.dataset.lvis import is_used, write_lvis
from mosaicfusion.dataset.merge.merge import merge
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import CanvasSource, Part, Run, SyntheticSet
from mosaicfusion.files.atomic import write_atomic, write_stream
from mosaicfusion.generation.events import progress_handler
from mosaicfusion.generation.generate import generate
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.identity import fingerprint
from mosaicfusion.layouts.scene import LIKE
from mosaicfusion.models.hub import digest, find_model
from mosaicfusion.pasting.paste import paste
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

Bar = Callable[[str, str], AbstractContextManager["OnProgress"]]
"""Makes a progress bar with a text and a unit, in the singular; its value is called with the number done and the total."""

_IMAGES = "images"
_PASTED = (4, 8)  # fewest and most instances on an image


@dataclass(frozen=True)
class TrainingData:
    """Makes the training sets of runs.

    ``real``: a folder with ``train.json``, ``val.json`` and ``images``; ``canvases``: factor for the number of canvases in the
    plan; at least one per category is generated.
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
        """Root folder of the file names in all training sets."""
        return self.out / "data"

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of the real sets and the model, 16 hex digits each."""
        sets = {
            name: fingerprint((self.real / name).read_text(encoding="utf-8")) for name in ("train.json", "val.json")
        }
        return {**sets, "model": digest(find_model(BUNDLED_MODEL))}

    def identity(self, run: Run) -> str:
        """16 hex digits over everything that determines a run's training set."""
        sets = [None if one is None else asdict(one) for one in (run.variant.synthetic, run.variant.pasted)]
        settings = [sets, self.canvases, self.digests["model"]] if any(sets) else None
        return fingerprint([str(settings), run.variant.real, run.open_vocabulary, self.digests["train.json"]])

    def make(self, run: Run, bar: Bar) -> Path:
        """Generate and merge a run's training set, unless it exists; return its json."""
        path = self.root / f"{self.identity(run)}.json"
        if path.exists():
            return path
        synthetic, pasted = run.variant.synthetic, run.variant.pasted
        sources = [] if synthetic is None else self._write_sources(synthetic, bar)
        if pasted is not None:
            sources.append(self._paste(pasted, bar))
        with _locked(self.out / "data.lock"):
            if path.exists():  # another process made it meanwhile
                return path
            self._link_images()
            real = self.real / "train.json" if run.variant.real else self._without_rows()
            with bar("merging", "image") as show:
                merge(real, sources, path, open_vocabulary=run.open_vocabulary, image_mode="link", on_image=show)
        return path

    def _write_sources(self, synthetic: SyntheticSet, bar: Bar) -> list[Path]:
        """Write the selected canvases as jsons into the run folders of their sources."""
        selected = self._select(synthetic, bar)
        return [self._write_json(run, records, synthetic) for run, records in selected]

    def _paste(self, synthetic: SyntheticSet, bar: Bar) -> Path:
        """Write real images with the instances of a set pasted on them, about as many as the set has."""
        selected = self._select(synthetic, bar)
        sources = [self._write_json(run, records, synthetic) for run, records in selected]
        fewest, most = _PASTED
        count = max(1, round(sum(_instances(records) for _, records in selected) / ((fewest + most) / 2)))
        path = self.out / "synthetic" / f"pasted-{'-'.join(run.path.name for run, _ in selected)}-{count}.json"
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                with bar("pasting", "image") as show:
                    paste(
                        self.real / "train.json",
                        sources,
                        path,
                        images=self.real,
                        count=count,
                        objects=_PASTED,
                        on_image=show,
                    )
        return path

    def _select(self, synthetic: SyntheticSet, bar: Bar) -> list[tuple[RunFolder, list[CanvasRecord]]]:
        """Select the canvases of each part of a set."""
        if synthetic.like is None:
            return [self._select_first(part.source, synthetic, bar) for part in synthetic.parts]
        instances = sum(_instances(records) for _, records in self._select(synthetic.like, bar))
        return [self._select_instances(part, synthetic, instances, bar) for part in synthetic.parts]

    def _select_first(
        self, source: CanvasSource, synthetic: SyntheticSet, bar: Bar
    ) -> tuple[RunFolder, list[CanvasRecord]]:
        """Select the first canvases of each category."""
        assert synthetic.canvases_per_category is not None
        each = max(1, round(synthetic.canvases_per_category * self.canvases))
        run = self.generate(source, each, bar)
        end = each * len(run.manifest.categories.main)  # the run may already have more canvases
        return run, [record for record in accepted(run) if record.index < end and is_used(record, synthetic.policy)]

    def _select_instances(
        self, part: Part, synthetic: SyntheticSet, instances: int, bar: Bar
    ) -> tuple[RunFolder, list[CanvasRecord]]:
        """Select the first canvases with the part's share of the instances; generate until there are enough."""
        target = round(part.share * instances)
        each = max(1, math.ceil(target / part.source.regions / len(self._selection(part.source).main)))
        while True:
            run = self.generate(part.source, each, bar)
            selected = take_instances((r for r in accepted(run) if is_used(r, synthetic.policy)), target)
            if _instances(selected) == target:
                return run, selected
            each += 1

    def generate(self, source: CanvasSource, canvases_per_category: int, bar: Bar) -> RunFolder:
        """Generate a run folder with at least this number of canvases per main category, or extend it."""
        path = self.out / "synthetic" / source.name
        overrides = {"layout": self._layout(source), "masks": {"refine": source.refine}}
        if source.strength < 1:
            real, images = str(self.real / "train.json"), [str(self.real)]
            overrides["references"] = {"file": real, "images": images, "strength": source.strength}
        with _locked(self.out / "synthetic" / f"{source.name}.lock"):
            if (path / "run.json").exists():  # a run can grow, not shrink
                canvases_per_category = max(canvases_per_category, RunFolder.open(path).manifest.canvases_per_category)
            with bar(f"generating {source.name}", "canvas") as show:
                generate(
                    self._selection(source),
                    out=path,
                    canvases_per_category=canvases_per_category,
                    config=make_config(None, overrides),
                    device=self.device,
                    on_event=progress_handler(show),
                )
        return RunFolder.open(path)

    def _layout(self, source: CanvasSource) -> dict[str, Any]:
        if source.objects is not None:
            sizes = f"{LIKE}{self.real / 'train.json'}"
            return {"kind": "scene", "objects": source.objects, "sizes": sizes, "binding": source.binding}
        return {"grids": source.grids}

    def _selection(self, source: CanvasSource) -> Selection:
        known = vocabulary_for(BUNDLED_MODEL, None, self.real / "train.json")
        return Selection(known.with_frequency(source.lead), known)

    def _write_json(self, run: RunFolder, records: Sequence[CanvasRecord], synthetic: SyntheticSet) -> Path:
        """Write canvases as a json beside their images."""
        known = vocabulary_for(BUNDLED_MODEL, None, self.real / "train.json")
        path = run.path / f"{run.path.name}-{synthetic.policy}-{len(records)}.json"
        write_stream(path, lambda file: write_lvis(file, records, list(known), synthetic.policy))
        return path

    def _link_images(self) -> None:
        """Link the real images into the root folder."""
        link, images = self.root / _IMAGES, (self.real / _IMAGES).resolve()
        if link.exists() and link.resolve() != images:
            raise MosaicFusionError(f"{self.out} holds an experiment on {link.resolve().parent}; give another --out")
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)  # a dangling link
            link.symlink_to(os.path.relpath(images, self.root.resolve()), target_is_directory=True)

    def _without_rows(self) -> Path:
        """Write the real set without images and annotations."""
        path = self.root / "categories.json"
        write_atomic(path, DatasetFile.open(self.real / "train.json").with_lists(images=[], annotations=[]))
        return path


def take_instances(records: Iterable[CanvasRecord], target: int) -> list[CanvasRecord]:
    """The first canvases with ``target`` instances in total, or fewer if there are no more; skip canvases that exceed it."""
    taken, count = [], 0
    for record in records:
        kept = _instances([record])
        if count + kept <= target:
            taken.append(record)
            count += kept
        if count == target:
            break
    return taken


def _locked(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _instances(records: Iterable[CanvasRecord]) -> int:
    return sum(region.kept for record in records for region in record.regions)
