"""Predictions on many images: overlays, and their objects as one COCO json, in a folder.

found/
  detections.json      COCO: images, categories, annotations with a score
  a.jpg, day2/b.png    overlays, named like the images
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.arguments import checked, listed
from mosaicfusion.dataset.coco import path_fault
from mosaicfusion.detectors.checkpoint import Detector, load_detector
from mosaicfusion.detectors.evaluation.predict import PredictedObject, predict, render_detections
from mosaicfusion.errors import MosaicFusionError, shown
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.images import read_rgb
from mosaicfusion.files.remote import as_path
from mosaicfusion.files.writable import check_writable
from mosaicfusion.masks import rle
from mosaicfusion.models.device import DeviceOptions

DETECTIONS = "detections.json"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_READ = {*FORMATS, ".webp", ".bmp", ".tif", ".tiff"}
_DESCRIPTION = "objects found by mosaicfusion predict"


@dataclass(frozen=True)
class SourceImage:
    """An image to predict on; ``name``: its path in the output, relative, with ``/``."""

    path: Path
    name: str

    @property
    def overlay(self) -> str:
        """Name of the overlay: that of the image, plus ``.png`` if overlays are not written in its format."""
        return self.name if Path(self.name).suffix.lower() in FORMATS else f"{self.name}.png"


@dataclass
class Predictions:
    """Results for many images. ``images``: number of images read; ``objects``: of each category.

    ``unreadable``: the reason by image name.
    """

    path: Path
    images: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)


def find_sources(paths: Sequence[Path], out: Path) -> list[SourceImage]:
    """List image files, and all images in folders and their subfolders, without hidden ones and those under ``out``.

    Raises :class:`MosaicFusionError` for a path that does not exist, without any image, and for two images of one name.
    """
    sources = [source for path in paths for source in _sources_of(path, out.resolve())]
    if not sources:
        raise MosaicFusionError(f"no image in {', '.join(map(str, paths))}; images end in {', '.join(sorted(_READ))}")
    first: dict[str, SourceImage] = {}
    for source in sources:
        other = first.setdefault(source.overlay, source)
        if other is not source:
            raise MosaicFusionError(
                f"{other.path} and {source.path} would both be {source.overlay} under {out}; give them in two calls, or the "
                "folder that holds both"
            )
    return sources


def _sources_of(path: Path, out: Path) -> Iterator[SourceImage]:
    if not path.is_dir():
        if not path.exists():
            raise MosaicFusionError(f"{path} does not exist; give an image or a folder of images")
        yield SourceImage(path, path.name)
        return
    root = path.resolve()
    outputs = {out} if out != root and out.is_relative_to(root) else set()
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root)
        hidden = any(part.startswith(".") for part in name.parts)
        if file.suffix.lower() in _READ and not hidden and file.is_file() and not outputs & {*file.parents}:
            yield SourceImage(file, name.as_posix())


@checked
def predict_folder(
    folder: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    min_score: float = 0.5,
    device: DeviceOptions | Mapping[str, Any] | str = "auto",
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Detect the objects of images, or of all images in folders, with the detector in ``folder``.

    ``min_score``: the lowest score of the objects to keep, in [0, 1]. ``device``: a name, or options of which only the device
    counts. ``on_image(done, total)`` is called after each image. Writes and raises like :func:`predict_images`.
    """
    sources = find_sources([as_path(path) for path in listed(images)], as_path(out))
    return predict_images(load_detector(as_path(folder), device), sources, as_path(out), min_score, on_image)


def predict_images(
    detector: Detector,
    sources: Sequence[SourceImage],
    out: Path,
    min_score: float = 0.5,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Write overlays and ``detections.json`` into the folder ``out``; images that cannot be read are left out.

    Masks and boxes are of the upright image (turned as its EXIF says); the box is the mask's. Objects without a pixel do not
    count. The json says ``complete: false`` until all images are done. Raises :class:`MosaicFusionError` if no image can be
    read, if the folder holds other files, or if an output would replace an input or lie outside.
    """
    _check_outputs(sources, out)
    found = Predictions(out / DETECTIONS)
    ids = {one.name: one.id for one in detector.classes.classes}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    on_image(0, len(sources))
    for done, source in enumerate(sources, start=1):
        try:
            pixels = _read(source)
        except MosaicFusionError as error:
            found.unreadable[source.name] = str(error)
        else:
            if not images:
                _write_json(found.path, detector, [], [], complete=False)
            objects = predict(detector, pixels, min_score)
            write_atomic(out / source.overlay, encode_overlay(pixels, objects, source.overlay))
            height, width = pixels.shape[:2]
            images.append({"id": len(images) + 1, "file_name": source.name, "width": width, "height": height})
            for one in objects:
                if one.mask.any():
                    found.objects[one.category] += 1
                    annotations.append(_annotation(len(annotations) + 1, len(images), ids[one.category], one))
        on_image(done, len(sources))
    if not images:
        name, reason = next(iter(found.unreadable.items()))
        raise MosaicFusionError(f"none of {len(sources)} images can be read; the first, {shown(name)}: {reason}")
    found.images = len(images)
    _write_json(found.path, detector, images, annotations, complete=True)
    return found


def encode_overlay(pixels: NDArray[np.uint8], objects: Sequence[PredictedObject], name: str) -> bytes:
    """The image with its objects, encoded in the format of the file ``name``."""
    buffer = io.BytesIO()
    Image.fromarray(render_detections(pixels, objects)).save(buffer, FORMATS[Path(name).suffix.lower()])
    return buffer.getvalue()


def _read(source: SourceImage) -> NDArray[np.uint8]:
    if fault := path_fault(source.name):
        raise MosaicFusionError(f"its name {fault}; rename it")
    return read_rgb(source.path, upright=True)


def _annotation(id_: int, image_id: int, category_id: int, one: PredictedObject) -> dict[str, Any]:
    return {
        "id": id_, "image_id": image_id, "category_id": category_id, "bbox": rle.box_xywh(one.mask),
        "area": rle.area(one.mask), "segmentation": dict(rle.encode(one.mask)), "iscrowd": 0,
        "score": round(one.score, 6),
    }  # fmt: skip


def _write_json(
    path: Path, detector: Detector, images: list[dict[str, Any]], annotations: list[dict[str, Any]], *, complete: bool
) -> None:
    data = {
        "info": {"description": _DESCRIPTION, "complete": complete},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": one.id, "name": one.name} for one in detector.classes.classes],
    }
    write_atomic(path, json.dumps(data, ensure_ascii=False).encode())


def _check_outputs(sources: Sequence[SourceImage], out: Path) -> None:
    """Refuse outputs that would replace what a user made, or that a link would lead out of the folder."""
    check_writable(out)
    inputs = {source.path.resolve() for source in sources}
    root = out.resolve()
    for target in (root / name for name in (DETECTIONS, *(source.overlay for source in sources))):
        if target.resolve() in inputs:
            raise MosaicFusionError(f"{target} is an image to predict on and would be overwritten; give another --out")
        if not target.resolve().is_relative_to(root):
            raise MosaicFusionError(f"{target} leads out of {out}, by a link; give another --out")
    if out.is_dir() and any(out.iterdir()) and not _is_own(out):
        raise MosaicFusionError(f"{out} holds files, but none of an earlier prediction; give a new or an empty folder")


def _is_own(out: Path) -> bool:
    """True if the folder was written by :func:`predict_images`."""
    try:
        return bool(json.loads((out / DETECTIONS).read_bytes())["info"]["description"] == _DESCRIPTION)
    except (OSError, ValueError, TypeError, KeyError):
        return False
