"""Average precision of boxes and masks: COCO's, or LVIS' where the images have its lists of categories.

COCO's AP (Lin et al. 2014) takes every image as annotated for every category: a detection without a match is a false positive.
At most 100 detections per image and category count. Where some images list categories in ``not_exhaustive_category_ids``, as
synthetic ones among real ones do, detections of these without a match are ignored there.

LVIS' AP is federated (Gupta, Dollar, Girshick 2019). Each image is annotated for some categories only, so a detection counts only
if its category was verified in the image:

- category with an instance in the image: a detection without a match is a false positive, unless the category is in
  ``not_exhaustive_category_ids`` (not all instances are annotated): then it is ignored;
- category in ``neg_category_ids`` (known to be absent): every detection is a false positive;
- any other category: every detection is ignored.

At most 300 detections per image count, the best of all categories together.

Detections that match a crowd are ignored, as by COCO; lvis-api does not read ``iscrowd``, which LVIS does not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.coco import CompleteAnnotation, ImageRow, require_known, require_unique
from mosaicfusion.dataset.masks import read_mask
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.evaluation.results import MAX_DETECTIONS, Detection, read_results
from mosaicfusion.errors import MosaicFusionError, counted, shown
from mosaicfusion.masks import rle

IouType = Literal["box", "mask"]
_MAX_OF_CATEGORY = 100  # detections of a category in an image, for COCO's AP
_EVALUATOR_IOU_TYPES: dict[IouType, str] = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True)
class Scores:
    """AP in [0, 1], by default the mean over IoU 0.50 to 0.95; None if no category has an instance.

    ``metrics``: AP, AP50, AP75, and AP_s, AP_m, AP_l of objects below 32 x 32, below 96 x 96 and above, in pixels of area; AR,
    the recall with all detections that count (100 per image and category, or LVIS' 300 per image). LVIS' AP adds AP_r, AP_c,
    AP_f where categories have frequencies, and with an open vocabulary AP_novel (rare) and AP_base.
    ``per_category``: AP by category name. ``federated``: True for LVIS' AP.
    """

    metrics: dict[str, float | None]
    per_category: dict[str, float | None]
    federated: bool = True

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)


class GroundTruth:
    """The annotations of a validation set in LVIS or COCO format, for any number of evaluations; read by :meth:`open`.

    ``federated``: True if the images have LVIS' lists, so that LVIS' AP is measured, else COCO's. ``notes``: about the AP.
    """

    def __init__(self, classes: ClassList, images: Sequence[ImageRow], annotations: list[dict[str, Any]]) -> None:
        self.classes = classes
        self.annotations = annotations
        listed = [not _lacks_lists(image) for image in images]
        self.federated = bool(listed) and all(listed)
        self.notes = [_mixed_note(listed.count(False), len(listed))] if any(listed) and not self.federated else []
        self.hw = {image.id: (image.height, image.width) for image in images}
        self.not_exhaustive = {image.id: image.not_exhaustive_category_ids or [] for image in images}
        everything = [] if self.federated else [one.id for one in classes.classes]
        self.negative = {image.id: image.neg_category_ids or everything for image in images}
        self.verified = {image.id: set(self.negative[image.id]) for image in images}
        for annotation in annotations:
            self.verified[annotation["image_id"]].add(annotation["category_id"])

    @property
    def uses_lists(self) -> bool:
        """True if the lists of the images matter: for LVIS' AP, and for COCO's where categories are not exhaustive."""
        return self.federated or any(self.not_exhaustive.values())

    @classmethod
    def open(cls, path: Path) -> GroundTruth:
        """Read a json or a run folder.

        Raises :class:`MosaicFusionError` if only some images have LVIS' lists but some list absent categories, or if it cannot
        be evaluated.
        """
        file = open_rows(path)
        classes = ClassList.of(file)
        images = file.parse("images", list[ImageRow])
        _require_lists(path, images)
        require_unique(path, "images", (image.id for image in images))
        hw = {image.id: (image.height, image.width) for image in images}
        known = classes.labels()
        annotations = []
        # New ids from 1 on: the evaluator uses 0 for "no match".
        for id_, row in enumerate(file.parse("annotations", list[CompleteAnnotation]), start=1):
            require_known(path, row, hw, known)
            try:
                runs = read_mask({"id": row.id, "segmentation": row.segmentation}, hw[row.image_id]).run_lengths()
            except MosaicFusionError as error:
                raise MosaicFusionError(
                    f"{path}: {error}; `mosaicfusion validate {path}` lists all such errors"
                ) from None
            annotations.append(
                {
                    "id": id_, "image_id": row.image_id, "category_id": row.category_id, "bbox": list(row.bbox),
                    "area": row.area, "iscrowd": row.iscrowd, "segmentation": runs,
                }
            )  # fmt: skip
        return cls(classes, images, annotations)

    def subset(self, ids: Container[int]) -> GroundTruth:
        """The subset with these image ids."""
        part = copy(self)
        part.annotations = [row for row in self.annotations if row["image_id"] in ids]
        part.hw = {id_: hw for id_, hw in self.hw.items() if id_ in ids}
        return part

    def counting_only(self, counted: Sequence[bool]) -> GroundTruth:
        """The same set, with only the annotations for which ``counted``, in the order of the file, is true.

        The others are treated like crowds: detections that match them are ignored.
        """
        part = copy(self)
        part.annotations = [
            row if counts else {**row, "iscrowd": 1} for row, counts in zip(self.annotations, counted, strict=True)
        ]
        return part

    def to_coco(self) -> dict[str, Any]:
        """Convert to the evaluator's input."""
        images = [
            {
                "id": id_, "height": hw[0], "width": hw[1], "neg_category_ids": self.negative[id_],
                "not_exhaustive_category_ids": self.not_exhaustive[id_],
            }
            for id_, hw in self.hw.items()
        ]  # fmt: skip
        # The evaluator wants a frequency of every category; its own means by frequency are not used.
        categories = [{**asdict(one), "frequency": one.frequency or "f"} for one in self.classes.classes]
        return {"images": images, "categories": categories, "annotations": [dict(a) for a in self.annotations]}


def evaluate(val: Path, results: Path, open_vocabulary: bool = False) -> dict[IouType, Scores]:
    """AP of a results file on a validation set, of boxes and masks; of boxes only if the results have no masks.

    Raises :class:`MosaicFusionError` for a set that cannot be evaluated, or if the results belong to another set.
    """
    truth, detections = GroundTruth.open(val), read_results(results)
    iou_types: list[IouType] = ["box", "mask"] if all(one.segmentation for one in detections) else ["box"]
    return score(truth, detections, iou_types, open_vocabulary, str(results))


def score(
    truth: GroundTruth,
    detections: Iterable[Detection],
    iou_types: Sequence[IouType] = ("box", "mask"),
    open_vocabulary: bool = False,
    source: str = "the detections",
) -> dict[IouType, Scores]:
    """AP of detections on a validation set; raises :class:`MosaicFusionError` if they belong to another set.

    ``source``: the name of the detections in error messages.
    """
    counting = _counting(detections, truth, source)
    return {iou_type: _scores(truth, counting, iou_type, open_vocabulary) for iou_type in iou_types}


def _lacks_lists(image: ImageRow) -> bool:
    return image.neg_category_ids is None or image.not_exhaustive_category_ids is None


def _mixed_note(without: int, images: int) -> str:
    return (
        f"COCO's AP, because {without} of {counted(images, 'image')} have no LVIS lists; in the others, detections without a "
        "match are ignored where their category is listed as not exhaustively annotated"
    )


def _require_lists(path: Path, images: Sequence[ImageRow]) -> None:
    """Refuse a set that is federated in parts: absent categories are known in some images, and nothing in others."""
    without = [image.id for image in images if _lacks_lists(image)]
    if without and any(image.neg_category_ids for image in images):
        raise MosaicFusionError(
            f"{len(without)} of {len(images)} images of {path} (the first: {without[0]}) lack neg_category_ids or "
            "not_exhaustive_category_ids, though others list absent categories: give both to all images for LVIS' AP, or leave "
            "neg_category_ids out everywhere for COCO's"
        )


def _counting(detections: Iterable[Detection], truth: GroundTruth, source: str) -> list[Detection]:
    """The detections that count: the best 300 of each image, for LVIS' AP of categories that were verified there."""
    by_image: dict[int, list[Detection]] = defaultdict(list)
    known = truth.classes.labels()
    for one in detections:
        if one.image_id not in truth.hw or one.category_id not in known:
            raise MosaicFusionError(
                f"{source}: a detection has image {one.image_id} and category {one.category_id}; the validation set has "
                "no such image or category; evaluate on the set that the detections were made for"
            )
        by_image[one.image_id].append(one)
    counting: list[Detection] = []
    for image_id, rows in by_image.items():
        best = sorted(rows, key=lambda one: -one.score)[:MAX_DETECTIONS]
        counting += [one for one in best if not truth.federated or one.category_id in truth.verified[image_id]]
    for one in counting:
        _require_mask(one, truth, source)
    return counting


def _require_mask(one: Detection, truth: GroundTruth, source: str) -> None:
    """Check the mask's size and run lengths: the compiled evaluator does not."""
    if one.segmentation is None:
        return
    try:
        if one.segmentation.size != truth.hw[one.image_id]:
            raise ValueError(f"size {one.segmentation.size}, its image {truth.hw[one.image_id]}")
        rle.run_lengths({"size": one.segmentation.size, "counts": one.segmentation.counts})
    except ValueError as error:
        raise MosaicFusionError(
            f"{source}: the mask of a detection in image {one.image_id} cannot be read: {error}"
        ) from None


def _scores(truth: GroundTruth, counting: Iterable[Detection], iou_type: IouType, open_vocabulary: bool) -> Scores:
    precision, recall = _accumulate(truth, counting, iou_type)
    everything = precision[..., 0]
    metrics = {"AP": _mean(everything), "AP50": _mean(everything[0]), "AP75": _mean(everything[5])}
    metrics |= {name: _mean(precision[..., k]) for k, name in enumerate(("AP_s", "AP_m", "AP_l"), start=1)}
    metrics |= {"AR": _mean(recall[..., 0])}
    metrics |= {
        name: _mean(everything[:, :, np.array(labels, np.int64) - 1])
        for name, labels in _groups(truth, open_vocabulary).items()
    }
    per_category = {name: _mean(everything[:, :, k]) for k, name in enumerate(truth.classes.names)}
    return Scores(metrics, per_category, truth.federated)


def _groups(truth: GroundTruth, open_vocabulary: bool) -> dict[str, list[int]]:
    """The labels that AP_r and the like are the means of; none if a category has no frequency."""
    unknown = [one.name for one in truth.classes.classes if one.frequency is None]
    if unknown and open_vocabulary:
        raise MosaicFusionError(
            f"{len(unknown)} categories of {truth.classes.source} (the first: {shown(unknown[0])}) have no frequency; AP_novel "
            "and AP_base need r, c or f, by the number of training images"
        )
    groups = {"AP_r": "r", "AP_c": "c", "AP_f": "f"} if truth.federated and not unknown else {}
    groups |= {"AP_novel": "r", "AP_base": "cf"} if open_vocabulary else {}
    return {name: truth.classes.labels_of(frequencies) for name, frequencies in groups.items()}


def _accumulate(
    truth: GroundTruth, counting: Iterable[Detection], iou_type: IouType
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision, (10, 101, C, 4), and recall, (10, C, 4), in [0, 1]; -1 without an instance.

    Axes: 10 IoU thresholds, 101 recalls, C categories, and the sizes all, small, medium, large.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError:
        raise MosaicFusionError('evaluation needs faster-coco-eval: pip install "mosaicfusion[train]"') from None
    ground_truth = COCO(truth.to_coco())
    rows = [_row(one, iou_type) for one in counting]
    evaluator = COCOeval_faster(
        ground_truth, ground_truth.loadRes(rows), _EVALUATOR_IOU_TYPES[iou_type], lvis_style=truth.uses_lists
    )
    evaluator.params.maxDets = [MAX_DETECTIONS if truth.federated else _MAX_OF_CATEGORY]
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = (np.asarray(evaluator.eval[name], np.float64) for name in ("precision", "recall"))
    return precision[..., 0], recall[..., 0]  # of the only number of detections


def _row(one: Detection, iou_type: IouType) -> dict[str, Any]:
    row: dict[str, Any] = {"image_id": one.image_id, "category_id": one.category_id, "score": one.score}
    if iou_type == "box" or one.segmentation is None:
        return {**row, "bbox": list(one.bbox)}
    return {**row, "segmentation": {"size": list(one.segmentation.size), "counts": one.segmentation.counts}}


def _mean(values: NDArray[np.float64]) -> float | None:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None
