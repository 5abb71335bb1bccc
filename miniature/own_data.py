"""Write ``datasets/own/``, the small COCO set of the tutorial: 36 scenes of MiniLVIS as an annotation tool would write them.

python -m miniature.own_data

Four categories, of which the umbrella is rare. No field of LVIS; ids with gaps; images in subfolders; polygons, now and then run
lengths.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from mosaicfusion.dataset.lvis import to_bytes
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.masks import rle

DATASETS = Path(__file__).parents[1] / "datasets"
IDS = {"teapot": 3, "banana": 7, "strawberry": 12, "umbrella": 40}
RARE = "umbrella"
# Images that show the rare category, and others; of each split.
COUNTS = {"train": (2, 22), "val": (6, 6)}
_EVERY = 9  # annotation of which the mask is run lengths

Json = dict[str, Any]


def choose(data: Json, split: str) -> list[Json]:
    """The images of a split: some with the rare category, and others, by turns for the category with the fewest so far.

    Images with several of the categories come first.
    """
    names = {category["id"]: category["name"] for category in data["categories"]}
    shown: dict[int, set[str]] = {image["id"]: set() for image in data["images"]}
    for row in data["annotations"]:
        shown[row["image_id"]] |= {names[row["category_id"]]} & IDS.keys()
    images = sorted(data["images"], key=lambda image: -len(shown[image["id"]]))
    rare, others = COUNTS[split]
    chosen = [image for image in images if RARE in shown[image["id"]]][:rare]
    rest = [image for image in images if RARE not in shown[image["id"]]]
    while len(chosen) < rare + others:
        counts = Counter(name for image in chosen for name in shown[image["id"]])
        fewest = min(sorted(IDS.keys() - {RARE}), key=lambda name: counts[name])
        image = next(image for image in rest if fewest in shown[image["id"]])
        rest.remove(image)
        chosen.append(image)
    return sorted(chosen, key=lambda image: int(image["id"]))


def as_coco(data: Json, images: list[Json]) -> Json:
    """A COCO json of these images and the four categories."""
    ids = {category["id"]: IDS[category["name"]] for category in data["categories"] if category["name"] in IDS}
    number_of = {image["id"]: 5 * k + 101 for k, image in enumerate(images)}
    rows = [row for row in data["annotations"] if row["image_id"] in number_of and row["category_id"] in ids]
    annotations = []
    for k, row in enumerate(rows):
        mask = row["segmentation"] if k % _EVERY == _EVERY - 1 else rle.polygons(rle.decode(row["segmentation"]))
        kept = {key: row[key] for key in ("bbox", "area")}
        keys = {"id": 3 * k + 1, "image_id": number_of[row["image_id"]], "category_id": ids[row["category_id"]]}
        annotations.append({**keys, **kept, "iscrowd": 0, "segmentation": mask})
    return {
        "images": [
            {"id": number_of[image["id"]], "file_name": file_name(k, image), "width": image["width"],
             "height": image["height"]}
            for k, image in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [{"id": id_, "name": name, "supercategory": "thing"} for name, id_ in IDS.items()],
    }  # fmt: skip


def file_name(number: int, image: Json) -> str:
    """``shelf-1/scene_0123.jpg``: images lie in two subfolders."""
    return f"shelf-{number % 2 + 1}/scene_{int(Path(image['file_name']).stem):04d}.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DATASETS / "own")
    out: Path = parser.parse_args().out
    for split in COUNTS:
        data = json.loads((DATASETS / f"minilvis/{split}.json").read_text(encoding="utf-8"))
        images = choose(data, split)
        for number, image in enumerate(images):
            target = out / "photos" / file_name(number, image)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(DATASETS / "minilvis" / image["file_name"], target)
        write_atomic(out / f"{split}.json", to_bytes(as_coco(data, images)))


if __name__ == "__main__":
    main()
