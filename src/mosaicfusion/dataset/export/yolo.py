"""YOLO as Ultralytics reads it: ``data.yaml``, ``images/train/*.jpg``, ``labels/train/*.txt``, and the same under ``val``.

A line is one object: ``<index of the category, from 0> <x> <y> <x> <y> ...``, the corners of one polygon divided by width and
height. The outline runs through the middles of the pixels' edges: boxes are exact, and COCO's way of filling restores the very
same pixels. Ultralytics fills polygons including their border, at a quarter of the training size; its masks of synthetic objects
have a mean IoU of 0.99 with the exact ones at 640 px (``benchmarks/export_yolo.py``).

Lost: the lines of no width that join the parts of an object become a pixel wide in Ultralytics; crowds are left out, since the
format has no term for them, and so are all fields of LVIS but the category.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from mosaicfusion.dataset.export.format import ExportOptions, Format, Split
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Annotation, Sample
from mosaicfusion.masks import rle


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    index_of = dataset.index_of
    lost: Counter[str] = Counter()
    splits: set[Split] = set()
    for sample in samples:
        split = options.split(sample.id)
        splits.add(split)
        lines = []
        for annotation in sample.annotations:
            if annotation.is_crowd:
                lost["crowds"] += 1
                continue
            outline = single_polygon(annotation)
            if not len(outline):
                lost["objects without a pixel"] += 1
                continue
            corners = np.clip(outline / (sample.hw[1], sample.hw[0]), 0, 1)
            numbers = " ".join(f"{value:.6f}" for value in corners.ravel())
            lines.append(f"{index_of[annotation.category_id]} {numbers}\n")
        out.write(f"images/{split}/{sample.name}", sample.read())
        out.write(f"labels/{split}/{sample.stem}.txt", "".join(lines).encode())
    options.require_both(splits)
    # No `path`: Ultralytics resolves a relative one in its own folder of data sets, and a missing one beside the yaml.
    data = {
        "train": "images/train",
        "val": "images/val" if options.val_fraction else "images/train",
        "names": {index: category["name"] for index, category in enumerate(dataset.categories)},
    }
    out.write("data.yaml", yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode())
    notes = [f"{count} {kind} left out" for kind, count in lost.items()]
    return notes if options.val_fraction else [*notes, "val is train; --val-fraction 0.1 sets a tenth apart"]


def single_polygon(annotation: Annotation) -> NDArray[np.float64]:
    """One closed outline, float64 (N, 2) of x, y in pixels; a mask without a pixel gives (0, 2).

    Several parts are joined at their nearest corners by lines of no width. Polygons of several parts are traced again from
    their pixels, since the parts may overlap, and readers count an area inside of two outlines as outside.
    """
    parts = annotation.mask.polygons()
    if len(parts) > 1:
        parts = rle.polygons(rle.decode(annotation.mask.run_lengths()))
    if not parts:
        return np.empty((0, 2))
    outline, *others = (np.array(part).reshape(-1, 2) for part in parts)
    for part in others:
        distances = cdist(outline, part)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        turned = np.roll(part, -int(there), axis=0)
        outline = np.concatenate([outline[: here + 1], turned, turned[:1], outline[here:]])
    return outline


FORMAT = Format(write, masks=("polygon",), splits=True)
