"""A detector's data set in torchvision's form: an LVIS or COCO json and its images.

One sample of a set with the classes 1 (kite), 2 (bow) and 3 (ribbon)::

    image   uint8 (3, 480, 640)
    target  {"boxes": float32 (2, 4) xyxy px, "labels": int64 [1, 3], "masks": uint8 (2, 480, 640), "image_id": 391895,
             "image_hw": (480, 640), "negative": int64 [2], "not_exhaustive": int64 [3]}
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from mosaicfusion.dataset.coco import ImageRow, find_image, image_name, json_of, path_fault
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.data.instances import OnProgress, read_images, read_instances
from mosaicfusion.detectors.data.samples import DetectionSample, SampleSet, Transform, boxes_of
from mosaicfusion.errors import MosaicFusionError, first_few, shown
from mosaicfusion.files.images import read_rgb


class DetectionDataset(SampleSet):
    """A run folder, or an LVIS or COCO json, with its images under the folder ``root``, by default :func:`images_folder`.

    ``transform``: sample -> sample, whose ``boxes`` and ``masks`` are tv_tensors (see :mod:`.transforms`).
    ``skip_missing`` leaves out images that are not on disk; ``skip_empty`` those without an instance, for training.
    ``left_out``: number of images and annotations left out, by reason; ``missing``: ids of images that are not on disk.

    A category without an instance and in neither list of an image is unknown there; in an image without the lists (COCO)
    all categories were verified. Raises :class:`MosaicFusionError` for a json that cannot be trained on, and on loading an
    image that cannot be read.
    """

    def __init__(
        self,
        path: Path,
        root: Path | None = None,
        transform: Transform | None = None,
        *,
        skip_missing: bool = False,
        skip_empty: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        root = root or images_folder(path)
        self.path, self.root, self.transform = path, root, transform
        file = open_rows(path)
        self.classes = ClassList.of(file)
        self._labels = self.classes.labels()
        images = read_images(file)
        files = [_find(root, image, path) for image in images]
        missing = [image for image, name in zip(images, files, strict=True) if name is None]
        if missing and (not skip_missing or len(missing) == len(images)):
            raise MosaicFusionError(_missing_text(missing, len(images), root))
        self.images = [image for image, name in zip(images, files, strict=True) if name is not None]
        self.files = [name for name in files if name is not None]
        self.missing = frozenset(image.id for image in missing)
        self.instances = read_instances(file, self.images, self.classes, self.missing, on_progress)
        self.left_out = self.instances.left_out
        if missing:
            self.left_out["images that are not on disk"] = len(missing)
        sizes = np.diff(self.instances.first)
        self.numbers = np.flatnonzero(sizes) if skip_empty else np.arange(len(sizes))  # of the images in use
        if len(self.numbers) < len(sizes):
            self.left_out["images without an instance"] = len(sizes) - len(self.numbers)
        if not len(self.numbers):
            raise MosaicFusionError(f"{path} holds no image" + (" with an instance" if skip_empty and images else ""))

    def __len__(self) -> int:
        return len(self.numbers)

    def labels(self) -> list[NDArray[np.int64]]:
        """Labels of each sample's instances, for :func:`mosaicfusion.detectors.data.sampling.repeat_factors`."""
        return [self.instances.labels_of(number) for number in self.numbers.tolist()]

    @property
    def image_counts(self) -> NDArray[np.int64]:
        """int64 (C + 1,): number of images with an instance of each label, for the federated loss."""
        present = [np.unique(labels) for labels in self.labels()]
        return np.bincount(np.concatenate(present), minlength=len(self.classes) + 1)

    def load(self, index: int) -> DetectionSample:
        number = int(self.numbers[index])
        row = self.images[number]
        image = tv_tensors.Image(_read_image(self.files[number], row.hw))
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


def images_folder(source: Path) -> Path:
    """The folder where a data set's images are by default: the run folder itself, or that of the json."""
    source = json_of(source)
    return source if source.is_dir() else source.parent


def _find(root: Path, image: ImageRow, path: Path) -> str | None:
    name = image_name(image)
    fault = "is missing, and so is coco_url" if name is None else path_fault(name)
    if fault:
        raise MosaicFusionError(f"{path}: image {image.id}: the file_name {shown(name)} {fault}")
    file = find_image(root, image)
    return None if file is None else str(file)


def _missing_text(missing: list[ImageRow], total: int, root: Path) -> str:
    names = first_few([shown(image_name(image)) for image in missing])
    fix = "give the folder that their names are relative to with --images"
    if len(missing) < total:
        fix += ", or leave them out with --skip-missing"
    return f"{len(missing)} of {total} images are not under {root}: {names}; {fix}"


def _read_image(file: str, hw: tuple[int, int]) -> Tensor:
    """uint8 (3, H, W), ignoring EXIF orientation: the json's masks refer to the pixels in the file."""
    pixels = read_rgb(file)
    if pixels.shape[:2] != hw:
        raise MosaicFusionError(
            f"{file} is {pixels.shape[0]} x {pixels.shape[1]} (height x width), {hw[0]} x {hw[1]} in the json: its masks "
            "may be of another image"
        )
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
