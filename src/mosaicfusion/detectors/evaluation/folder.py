"""Evaluation of a trained detector; detections and scores are kept in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicfusion.arguments import checked
from mosaicfusion.dataset.image_files import Folders
from mosaicfusion.detectors.checkpoint import load_detector
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.samples import make_loader
from mosaicfusion.detectors.evaluation.evaluate import GroundTruth, IouType, Scores, score
from mosaicfusion.detectors.evaluation.results import read_results, write_results
from mosaicfusion.errors import counted
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.remote import as_path
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.report.notebook import render_view

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@dataclass(frozen=True)
class ValidationSet:
    """A run folder, or an LVIS or COCO json, opened once: ground truth and samples of the same images."""

    path: Path
    truth: GroundTruth
    samples: DetectionDataset

    @classmethod
    def open(cls, path: Path, images: Folders | None = None, skip_missing: bool = False) -> ValidationSet:
        """Read a run folder, or a json with its images in the folders ``images``, by default the folder of the json.

        ``skip_missing`` leaves out images that are not on disk or cannot be read, with their annotations. Raises
        :class:`MosaicFusionError` for a set that cannot be evaluated.
        """
        truth, samples = GroundTruth.open(path), DetectionDataset(path, images, skip_missing=skip_missing)
        return cls(path, truth.subset({image.id for image in samples.images}), samples)


@dataclass(frozen=True)
class Evaluation:
    """AP of a detector on a validation set.

    ``images``: number of images evaluated; ``left_out``: number of images and annotations left out, by reason.
    ``detections_path`` and ``scores_path``: the files written into the detector's folder.
    """

    scores: dict[IouType, Scores]
    images: int
    left_out: dict[str, int]
    detections_path: Path
    scores_path: Path

    def _repr_html_(self) -> str:
        """What a notebook shows: the AP in percent."""
        head = next(iter(self.scores.values())).metrics
        rows = [
            (kind, *("-" if value is None else f"{100 * value:.1f}" for value in one.metrics.values()))
            for kind, one in self.scores.items()
        ]
        return render_view("AP in percent", [counted(self.images, "image"), str(self.scores_path)], ("", *head), rows)


@checked
def evaluate_folder(
    folder: str | Path,
    val_json: str | Path,
    images: Folders | None = None,
    *,
    open_vocabulary: bool = False,
    skip_missing: bool = False,
    device: DeviceOptions | Mapping[str, Any] | str = "auto",
    workers: int = 2,
    batch_size: int = 1,
    on_image: OnProgress | None = None,
) -> Evaluation:
    """Evaluate the detector in ``folder`` on a run folder, or an LVIS or COCO json.

    ``images``: one or several folders of its images, by default the folder of the json.

    LVIS' AP is measured if the images have its lists, else COCO's. Categories that only the detector has do not count.
    ``open_vocabulary`` adds AP_novel and AP_base. ``device``: a name, or options of which only the device counts. ``workers``:
    processes that load images; ``batch_size``: images at a time.
    Raises :class:`MosaicFusionError` if the detector or the set cannot be used, or if their categories differ.
    """
    val = ValidationSet.open(as_path(val_json), images, skip_missing)
    return evaluate_on(
        as_path(folder),
        val,
        open_vocabulary=open_vocabulary,
        device=device,
        workers=workers,
        batch_size=batch_size,
        on_image=on_image,
    )


def evaluate_on(
    folder: Path,
    val: ValidationSet,
    *,
    open_vocabulary: bool = False,
    device: DeviceOptions | Mapping[str, Any] | str = "auto",
    workers: int = 2,
    batch_size: int = 1,
    on_image: OnProgress | None = None,
) -> Evaluation:
    """Evaluate the detector in ``folder`` on an open validation set; see :func:`evaluate_folder`."""
    detector = load_detector(folder, device)
    detector.classes.require_all_of(val.truth.classes)
    total = len(val.samples)
    name = val.path.absolute().stem
    detections, scores_path = folder / f"detections-{name}.json", folder / f"scores-{name}.json"
    write_results(
        detector.model,
        make_loader(val.samples, None, batch_size, workers),
        detector.classes,
        detections,
        next(detector.model.parameters()).device,
        on_image=None if on_image is None else lambda done: on_image(done, total),
    )
    known = val.truth.classes.labels()  # the detector may have been trained for more
    found = [one for one in read_results(detections) if one.category_id in known]
    scores = score(val.truth, found, open_vocabulary=open_vocabulary, source=str(detections))
    values = {kind: one.to_json() for kind, one in scores.items()}
    write_atomic(scores_path, json.dumps(values, indent=1, ensure_ascii=False).encode())
    return Evaluation(scores, total, dict(val.samples.left_out), detections, scores_path)
