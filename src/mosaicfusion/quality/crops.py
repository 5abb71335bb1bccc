"""A sample of the instances of an LVIS or COCO json, and their crops."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.dataset.coco import AnnotationRow, CategoryRef, DatasetFile, ImageRef, find_image, image_name
from mosaicfusion.dataset.masks import read_mask
from mosaicfusion.dataset.sample import shown_folders
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import read_rgb
from mosaicfusion.masks import rle

MARGIN = 0.1  # of the box's side, on each side: some context, little of the neighbours
GREY = 124  # about the mean of ImageNet's images, so that a masked background has little influence


@dataclass(frozen=True)
class AnnotatedInstance:
    """One annotation and the path of its image."""

    id: int
    category: str
    image: Path
    box_xywh: tuple[float, float, float, float]
    segmentation: Any


def sample_instances(
    data: DatasetFile, folders: Sequence[Path], per_category: int, category_ids: Collection[int] | None = None
) -> list[AnnotatedInstance]:
    """Choose at most ``per_category`` random instances of each category, sorted by image.

    ``category_ids`` restricts the categories. The same file gives the same sample. Crowds and boxes without an area are left
    out. Raises :class:`MosaicFusionError` for damaged lists and for images that are not in ``folders``.
    """
    names = {category.id: category.name for category in data.parse("categories", list[CategoryRef])}
    by_category: dict[int, list[tuple[AnnotationRow, tuple[float, float, float, float]]]] = {}
    for annotation in data.parse("annotations", list[AnnotationRow]):
        key, box = annotation.category_id, annotation.bbox
        wanted = key in names and (category_ids is None or key in category_ids) and not annotation.iscrowd
        if wanted and box is not None and min(box[2:]) > 0:
            by_category.setdefault(key, []).append((annotation, box))
    sample = [
        chosen
        for key, all_of_it in sorted(by_category.items())
        for chosen in random.Random(key).sample(all_of_it, min(len(all_of_it), per_category))
    ]
    needed = {annotation.image_id for annotation, _ in sample}
    images = {image.id: _find(folders, image) for image in data.parse("images", list[ImageRef]) if image.id in needed}
    if needed - images.keys():
        raise MosaicFusionError(
            f"{data.path}: annotations refer to image {min(needed - images.keys())}, which is not listed; "
            f"`mosaicfusion validate {data.path}` shows all problems"
        )
    instances = [
        AnnotatedInstance(a.id, names[a.category_id], images[a.image_id], box, msgspec.json.decode(a.segmentation))
        for a, box in sample
    ]
    return sorted(instances, key=lambda instance: instance.image)


def read_crops(
    instances: Iterable[AnnotatedInstance], side_px: int, mask_background: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """Crop the instances' boxes with a margin of 10 % on each side and resize to uint8 RGB (side_px, side_px, 3).

    Crops are clipped to the image and warped to a square, as in R-CNN. Resizing is antialiased, since aliasing biases FID (Parmar
    et al. 2022). ``mask_background`` replaces everything outside of the mask with grey. Raises :class:`MosaicFusionError` for an
    image or a mask that cannot be read.
    """
    path, image = None, Image.new("RGB", (1, 1))
    for instance in instances:
        if instance.image != path:
            path, image = instance.image, Image.fromarray(read_rgb(instance.image))
        yield _crop(instance, image, side_px, mask_background)


def _crop(instance: AnnotatedInstance, image: Image.Image, side_px: int, mask_background: bool) -> NDArray[np.uint8]:
    if mask_background:
        runs = read_mask({"id": instance.id, "segmentation": instance.segmentation}, (image.height, image.width))
        mask = rle.decode(runs.run_lengths())
        image = Image.fromarray(np.where(mask[..., None], np.asarray(image), np.uint8(GREY)))
    left, top, width, height = instance.box_xywh
    box = (
        min(max(0.0, left - MARGIN * width), image.width - 1),
        min(max(0.0, top - MARGIN * height), image.height - 1),
        max(1.0, min(image.width, left + (1 + MARGIN) * width)),
        max(1.0, min(image.height, top + (1 + MARGIN) * height)),
    )
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BICUBIC, box=box))


def _find(folders: Sequence[Path], image: ImageRef) -> Path:
    path = find_image(folders, image)
    if path is None:
        name = image_name(image) or f"of id {image.id}"
        raise MosaicFusionError(
            f"there is no image {name:.200} in {shown_folders(folders)}; give the folder of the images with --images"
        )
    return path
