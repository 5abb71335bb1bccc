"""A part of MiniLVIS, small enough to generate data for, train on and evaluate within a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

MINILVIS = Path(__file__).parents[2] / "datasets/minilvis"


def write_part(folder: Path, each: int = 2, images: tuple[int, int] = (8, 4)) -> Path:
    """Write ``each`` categories of every frequency, and ``images`` (training, validation) that show one of them."""
    sets = {name: json.loads((MINILVIS / f"{name}.json").read_text()) for name in ("train", "val")}
    categories = [
        category
        for frequency in "rcf"
        for category in [one for one in sets["val"]["categories"] if one["frequency"] == frequency][:each]
    ]
    kept = {category["id"] for category in categories}
    for (name, data), count in zip(sets.items(), images, strict=True):
        annotations = [row for row in data["annotations"] if row["category_id"] in kept]
        # One image per category first, so that every category has one.
        first = {row["category_id"]: row["image_id"] for row in reversed(annotations)}
        shown = list(dict.fromkeys([*first.values(), *(row["image_id"] for row in annotations)]))[:count]
        chosen = [image for image in data["images"] if image["id"] in shown]
        for image in chosen:
            image["neg_category_ids"] = [id_ for id_ in image["neg_category_ids"] if id_ in kept]
            target = folder / image["file_name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(MINILVIS / image["file_name"], target)
        part: dict[str, Any] = {
            **data,
            "images": chosen,
            "annotations": [row for row in annotations if row["image_id"] in shown],
            "categories": categories,
        }
        (folder / f"{name}.json").write_text(json.dumps(part))
    return folder
