"""Pascal VOC: ``JPEGImages``, ``Annotations/*.xml``, ``SegmentationObject/*.png``, ``SegmentationClass/*.png``, ``ImageSets``.

In ``SegmentationObject`` the value of a pixel is the number of the object in the xml, from 1, and 0 is background; in
``SegmentationClass`` it is the category's ``index`` of ``categories.json`` plus 1. Boxes are those of the masks; they count
pixels from 1 and include both ends. Crowds become ``difficult`` objects, which VOC's evaluation ignores.

Lost: a pixel belongs to one object. Where objects overlap, the smaller one is on top. A png has 8 bits, so an image with more
than 254 objects is refused, and with more than 254 categories there is no ``SegmentationClass``: the xml has the same content.
Fields of LVIS other than names and boxes are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.dataset.export.format import ExportOptions, Format, Split, left_out_fields
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle

Mask = NDArray[np.bool_]
MAX_VALUE = 254  # 255 is VOC's "void"
_NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # also the carriage return, which readers turn into a newline


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    names = {category["id"]: category["name"] for category in dataset.categories}
    for name in names.values():
        if _NOT_XML.search(name):
            raise MosaicFusionError(f"the category {name!r:.80} holds characters that xml cannot; rename it")
    index_of = dataset.index_of
    with_classes = len(names) <= MAX_VALUE
    stems: dict[Split, list[str]] = {"train": [], "val": []}
    covered = 0
    for sample in samples:
        stems[options.split(sample)].append(sample.stem)
        out.write(f"JPEGImages/{sample.name}", sample.read())
        each = pixels_of_each(sample)
        out.write(f"Annotations/{sample.stem}.xml", _xml(dataset.name, sample, names, each))
        objects = label_map(each, sample.hw)
        covered += int(sum(map(np.count_nonzero, each)) - np.count_nonzero(objects))
        out.write(f"SegmentationObject/{sample.stem}.png", _png(objects))
        if with_classes:
            values = [0, *(index_of[annotation.category_id] + 1 for annotation in sample.annotations)]
            out.write(f"SegmentationClass/{sample.stem}.png", _png(np.array(values, np.uint8)[objects]))
    options.require_both(split for split, listed in stems.items() if listed)
    for split, listed in (*stems.items(), ("trainval", stems["train"] + stems["val"])):
        for task in ("Main", "Segmentation"):
            out.write(f"ImageSets/{task}/{split}.txt", "".join(stem + "\n" for stem in sorted(listed)).encode())
    notes = [f"no SegmentationClass: {len(names)} categories, and 8 bits hold {MAX_VALUE}"] * (not with_classes)
    notes += [f"{covered} pixels of objects are covered by smaller ones"] * bool(covered)
    return notes + left_out_fields(dataset)


def pixels_of_each(sample: Sample) -> list[Mask]:
    """The masks of an image, bool (H, W) each."""
    if len(sample.annotations) > MAX_VALUE:
        raise MosaicFusionError(
            f"image {sample.record['id']} has {len(sample.annotations)} objects, and VOC's png holds at most {MAX_VALUE}; "
            "choose another format with --to"
        )
    return [rle.decode(annotation.mask.run_lengths()) for annotation in sample.annotations]


def label_map(each: list[Mask], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Masks, bool (H, W) -> uint8 (H, W): the number of the object at each pixel, from 1, the smaller on top."""
    objects = np.zeros(hw, np.uint8)
    for number, mask in sorted(enumerate(each, start=1), key=lambda pair: np.count_nonzero(pair[1]), reverse=True):
        objects[mask] = number
    return objects


def _xml(database: str, sample: Sample, names: dict[int, str], each: list[Mask]) -> bytes:
    root = ElementTree.Element("annotation")
    _add(root, {"folder": "JPEGImages", "filename": sample.name})
    _add(ElementTree.SubElement(root, "source"), {"database": _NOT_XML.sub("?", database)})
    _add(ElementTree.SubElement(root, "size"), {"width": sample.hw[1], "height": sample.hw[0], "depth": 3})
    _add(root, {"segmented": 1})
    for annotation, mask in zip(sample.annotations, each, strict=True):
        thing = ElementTree.SubElement(root, "object")
        difficult = int(annotation.is_crowd)
        _add(
            thing,
            {"name": names[annotation.category_id], "pose": "Unspecified", "truncated": 0, "difficult": difficult},
        )
        _add(ElementTree.SubElement(thing, "bndbox"), _box(annotation, mask))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _box(annotation: Annotation, mask: Mask) -> dict[str, int]:
    left, top, width, height = rle.box_xywh(mask) if mask.any() else annotation.record["bbox"]
    corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
    return {side: round(value) for side, value in corners.items()}


def _add(parent: ElementTree.Element, texts: Mapping[str, str | int]) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _png(values: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(values)
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def _palette() -> bytes:
    """VOC's colours: the bits of the value, distributed to red, green and blue in turn, fill the highest bits first."""
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((np.arange(256) >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours.tobytes()


FORMAT = Format(write, masks=(), splits=True)
