"""Files of other tools, read as verdicts.

The run was exported to FiftyOne, Label Studio or CVAT, and looked at there. An object of the run that is not there any more is
rejected, one of another category relabelled, and one with another mask has a wrong mask. FiftyOne's tags ``accept``, ``reject``
and ``wrong_mask`` say so themselves. Canvases that a file does not hold are not spoken of.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.dataset.masks import parse_mask
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError, counted, first_line
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord
from mosaicfusion.run.reviews import Verdict, Word, now

_SAME_OBJECT, _SAME_MASK = 0.5, 0.95  # IoU: above, it is the object; below, its mask was changed
_MOST_PX = 10**9  # of an image
_WORDS = set(get_args(Word)) - {"none", "relabel"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """An object as a tool has it. ``mask``: bool (H, W)."""

    label: str
    mask: NDArray[np.bool_]
    tags: frozenset[str] = field(default=frozenset())


def read_verdicts(run: RunFolder, source: Path, who: str) -> list[Verdict]:
    """Compare a file of another tool with a run; returns what differs, and what tags say.

    ``source``: CVAT's export as COCO 1.0 (zip, folder or json), Label Studio's as JSON, or FiftyOne's (a folder with samples.json
    or labels.json). Raises :class:`MosaicFusionError` for anything else, and if it has no image of the run.
    """
    try:
        images = dict(_read(source))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise MosaicFusionError(
            f"cannot read {source}: {first_line(error)}; give an export of FiftyOne (folder), Label Studio (JSON) or CVAT "
            "(COCO 1.0)"
        ) from None
    verdicts: list[Verdict] = []
    matched = 0
    for record in accepted(run):
        if record.index in images:
            matched += 1
            verdicts += _compare(record, images[record.index], run, who)
    if not matched:
        raise MosaicFusionError(
            f"{source} has {counted(len(images), 'image')}, and none of {run.path}; export this run, and do not rename its images"
        )
    return verdicts


def _compare(record: CanvasRecord, found: Iterable[Found], run: RunFolder, who: str) -> Iterator[Verdict]:
    ids, left = {category.name: category.id for category in run.categories}, list(found)
    for k, region in enumerate(record.regions):
        if not region.kept:
            continue
        mask = rle.decode(region.segmentation or {})
        overlaps = [mask_iou(mask, one.mask) if one.mask.shape == mask.shape else 0.0 for one in left]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best < 0 or overlaps[best] < _SAME_OBJECT:
            yield Verdict(record.index, k, "reject", who, now(), "removed")
            continue
        one = left.pop(best)
        words = sorted(one.tags & _WORDS)
        if words:
            yield Verdict(record.index, k, words[-1], who, now(), "tag")  # type: ignore[arg-type]
        elif one.label != region.category:
            if one.label not in ids:
                yield Verdict(record.index, k, "reject", who, now(), f"relabelled as {one.label!r:.80}")
            else:
                yield Verdict(record.index, k, "relabel", who, now(), "", ids[one.label])
        elif overlaps[best] < _SAME_MASK:
            yield Verdict(record.index, k, "wrong_mask", who, now(), "changed")


def _read(source: Path) -> Iterator[tuple[int, list[Found]]]:
    """The objects of each canvas, by the kind of the file."""
    if source.is_dir():
        for name in ("samples.json", "labels.json", "annotations/instances_default.json"):
            if (source / name).exists():
                return _read_json(json.loads((source / name).read_bytes()))
        raise ValueError("the folder has no samples.json, labels.json or annotations/instances_default.json")
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as file:
            names = [name for name in file.namelist() if PurePosixPath(name).match("annotations/instances_*.json")]
            if not names:
                raise ValueError("the zip has no annotations/instances_default.json")
            return _read_json(json.loads(file.read(names[0])))
    return _read_json(json.loads(source.read_bytes()))


def _read_json(data: Any) -> Iterator[tuple[int, list[Found]]]:
    if isinstance(data, list):
        return _label_studio(data)
    if "samples" in data:
        return _fiftyone(data["samples"])
    if "annotations" in data:
        return _coco(data)
    raise ValueError("it is none of these formats")


def _canvas(name: str) -> int | None:
    """The canvas of an exported image, whose name is its id; None for another image."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    digits = stem.rsplit("-", 1)[-1]  # Label Studio puts a hash in front of uploads
    return int(digits) - 1 if digits.isascii() and digits.isdecimal() else None


def _coco(data: Json) -> Iterator[tuple[int, list[Found]]]:
    names = {one["id"]: one["name"] for one in data["categories"]}
    rows: dict[int, list[Json]] = {image["id"]: [] for image in data["images"]}
    for row in data["annotations"]:
        rows[row["image_id"]].append(row)
    for image in data["images"]:
        canvas, hw = _canvas(image["file_name"]), (image["height"], image["width"])
        if canvas is not None:
            yield (
                canvas,
                [Found(names[row["category_id"]], _decode(row["segmentation"], hw)) for row in rows[image["id"]]],
            )


def _decode(segmentation: Any, hw: tuple[int, int]) -> NDArray[np.bool_]:
    _check_size(hw)
    return rle.decode(parse_mask(segmentation, hw).run_lengths())


def _label_studio(tasks: list[Json]) -> Iterator[tuple[int, list[Found]]]:
    for task in tasks:
        canvas = _canvas(str(task["data"]["image"]))
        done = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
        if canvas is None or not done:
            continue
        objects: dict[str, tuple[str, NDArray[np.bool_]]] = {}
        for part in done[-1]["result"]:
            if "polygonlabels" not in part.get("value", {}):
                continue
            height, width = part["original_height"], part["original_width"]
            corners = [side for x, y in part["value"]["points"] for side in (x * width / 100, y * height / 100)]
            mask, key = _decode([corners], (height, width)), part["id"].rsplit("-", 1)[0]
            label, so_far = objects.get(key, (part["value"]["polygonlabels"][0], np.zeros_like(mask)))
            objects[key] = label, so_far | mask
        yield canvas, [Found(label, mask) for label, mask in objects.values()]


def _fiftyone(samples: list[Json]) -> Iterator[tuple[int, list[Found]]]:
    for sample in samples:
        canvas = _canvas(sample["filepath"])
        if canvas is None:
            continue
        height, width = sample["metadata"]["height"], sample["metadata"]["width"]
        detections = [
            one
            for value in sample.values()
            if isinstance(value, dict) and isinstance(value.get("detections"), list)
            for one in value["detections"]
        ]
        tags = frozenset(sample.get("tags") or ())
        yield (
            canvas,
            [
                Found(
                    one["label"], _pasted(one, (height, width)), frozenset(one.get("tags") or ()) or tags & {"reject"}
                )
                for one in detections
            ],
        )


def _pasted(detection: Json, hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a detection, which FiftyOne keeps as a compressed array of its box."""
    packed = detection["mask"]
    if isinstance(packed, dict):
        packed = packed["$binary"]["base64"]
    _check_size(hw)
    data = zlib.decompressobj().decompress(
        base64.b64decode(packed), 8 * hw[0] * hw[1] + 2**12
    )  # no more than a mask can be
    part = np.load(io.BytesIO(data), allow_pickle=False) > 0
    left, top = (round(side * full) for side, full in zip(detection["bounding_box"][:2], (hw[1], hw[0]), strict=True))
    whole = np.zeros(hw, bool)
    window = whole[max(0, top) : top + part.shape[0], max(0, left) : left + part.shape[1]]
    window[...] = part[: window.shape[0], : window.shape[1]]
    return whole


def _check_size(hw: tuple[int, int]) -> None:
    if not (hw[0] > 0 and hw[1] > 0 and hw[0] * hw[1] <= _MOST_PX):
        raise ValueError(f"an image of {hw[1]} x {hw[0]} pixels")
