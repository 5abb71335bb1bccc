"""A detector's data set in torchvision's form: an LVIS or COCO json and its images.

One sample of a set with the classes 1 (kite), 2 (bow) and 3 (ribbon)::

    image   uint8 (3, 480, 640)
    target  {"boxes": float32 (2, 4) xyxy px, "labels": int64 [1, 3], "masks": uint8 (2, 480, 640), "image_id": 391895,
             "image_hw": (480, 640), "negative": int64 [2], "not_exhaustive": int64 [3]}

With ``ignore_edge`` it also has ``uncertain``, uint8 (2, 480, 640): 1 at the edges of synthetic masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from mosaicfusion.dataset.coco import CategoryRef
from mosaicfusion.dataset.image_files import Folders, folders_of, read_pixels
from mosaicfusion.dataset.masks import CROWDS_HINT
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.data.files import find_readable
from mosaicfusion.detectors.data.instances import read_images, read_instances
from mosaicfusion.detectors.data.samples import DetectionSample, SampleSet, Transform, boxes_of
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks.edges import edge_band

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


class DetectionDataset(SampleSet):
    """A run folder, or an LVIS or COCO json, with its images in ``folders``, see :func:`folders_of`.

    ``transform``: sample -> sample, whose ``boxes`` and ``masks`` are tv_tensors (see :mod:`.transforms`).
    ``skip_missing`` leaves out images that are not on disk or cannot be read; ``skip_empty`` those without an instance, for
    training. ``ignore_edge``: see :func:`edges_of`; 0: off. ``left_out``: number of images and annotations left out, by reason;
    ``missing``: ids of the images that ``skip_missing`` left out; ``notes``: what was read as something else.

    A category without an instance and in neither list of an image is unknown there; in an image without the lists (COCO)
    all categories were verified. Raises :class:`MosaicFusionError` for a set that cannot be trained on: each image is read once.
    """

    def __init__(
        self,
        path: Path,
        folders: Folders | None = None,
        transform: Transform | None = None,
        *,
        skip_missing: bool = False,
        skip_empty: bool = False,
        ignore_edge: float = 0,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.path, self.transform, self.ignore_edge = path, transform, ignore_edge
        file = open_rows(path)
        folders = folders_of(path, folders)
        self.classes = ClassList.of(file)
        self.categories = file.parse("categories", list[CategoryRef])
        self._labels = self.classes.labels()
        images = read_images(file)
        found = find_readable(images, folders, path, skip_missing)
        self.images = [image for image in images if image.id in found.files]
        self.files = [str(found.files[image.id]) for image in self.images]
        self.missing = frozenset(image.id for image in images) - found.files.keys()
        self.instances = read_instances(file, self.images, self.classes, self.missing, on_progress)
        self.notes = [remark.text for remark in file.remarks]
        self.left_out = self.instances.left_out + found.left_out
        sizes = np.diff(self.instances.first)
        self.numbers = np.flatnonzero(sizes) if skip_empty else np.arange(len(sizes))  # of the images in use
        if len(self.numbers) < len(sizes):
            self.left_out["images without an instance"] = len(sizes) - len(self.numbers)
        if not len(self.numbers):
            raise MosaicFusionError(f"{path} holds no image" + (self._why_empty() if skip_empty and images else ""))

    def _why_empty(self) -> str:
        why = "; left out: " + ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f" with an instance{why}" + (f"; {CROWDS_HINT}" if self.left_out["crowds"] else "")

    def __len__(self) -> int:
        return len(self.numbers)

    def labels(self) -> list[NDArray[np.int64]]:
        """Labels of each sample's instances, for :func:`mosaicfusion.detectors.data.sampling.repeat_factors`."""
        return [self.instances.labels_of(number) for number in self.numbers.tolist()]

    def synthetic(self) -> NDArray[np.bool_]:
        """bool (samples,): True for each image that mosaicfusion generated, or pasted on."""
        return np.array([self.images[number].synthetic for number in self.numbers.tolist()], bool)

    @property
    def image_counts(self) -> NDArray[np.int64]:
        """int64 (C + 1,): number of images with an instance of each label, for the federated loss."""
        present = [np.unique(labels) for labels in self.labels()]
        return np.bincount(np.concatenate(present), minlength=len(self.classes) + 1)

    def load(self, index: int) -> DetectionSample:
        number = int(self.numbers[index])
        row = self.images[number]
        image = as_image(read_pixels(self.files[number], row.hw))
        masks = torch.from_numpy(self.instances.masks_of(number))
        labels = self.instances.labels_of(number)
        negative, not_exhaustive = self._federated(number, set(labels.tolist()))
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes_of(masks), format="XYXY", canvas_size=row.hw),
            "labels": torch.from_numpy(labels.copy()),
            "masks": tv_tensors.Mask(masks),
            "image_id": row.id,
            "image_hw": row.hw,
            "negative": negative,
            "not_exhaustive": not_exhaustive,
        }
        if self.ignore_edge:
            synthetic = self.instances.synthetic_of(number)
            target["uncertain"] = tv_tensors.Mask(edges_of(masks, synthetic, self.ignore_edge))
        return (image, target) if self.transform is None else self.transform(image, target)

    def _federated(self, number: int, present: set[int]) -> tuple[Tensor, Tensor]:
        """Labels that are absent from an image, and labels that are not annotated exhaustively in it."""
        row, labels = self.images[number], self._labels
        crowded = self.instances.crowded.get(number, set())
        if row.neg_category_ids is None:
            negative = set(labels.values()) - present - crowded
        else:
            negative = {labels[id_] for id_ in row.neg_category_ids if id_ in labels}
        uncertain = {labels[id_] for id_ in row.not_exhaustive_category_ids or [] if id_ in labels} | crowded
        return torch.tensor(sorted(negative), dtype=torch.int64), torch.tensor(sorted(uncertain), dtype=torch.int64)


def edges_of(masks: Tensor, synthetic: NDArray[np.bool_], part: float) -> Tensor:
    """uint8 (N, H, W): 1 at the edges of synthetic masks, see :func:`mosaicfusion.masks.edges.edge_band`; real ones have none.

    ``masks``: uint8 (N, H, W), none empty. ``synthetic``: bool (N,). ``part``: of the object's size.
    """
    edges = torch.zeros_like(masks)
    for k in np.flatnonzero(synthetic).tolist():
        edges[k] = torch.from_numpy(edge_band(masks[k].numpy() > 0, part))
    return edges


def as_image(pixels: NDArray[np.uint8]) -> tv_tensors.Image:
    """uint8 (H, W, 3) -> uint8 (3, H, W), a copy."""
    return tv_tensors.Image(torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous())
