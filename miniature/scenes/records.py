"""Rendered scenes as a data set in LVIS' format. The scenes are known in full, and the lists of each image say so.

One image and one annotation of the result::

    {"id": 10012, "file_name": "images/val/000000010012.jpg", "coco_url": "minilvis://images/val/000000010012.jpg",
     "width": 256, "height": 256, "neg_category_ids": [1, 3, 12, ...], "not_exhaustive_category_ids": []}
    {"id": 57, "image_id": 10012, "category_id": 45, "bbox": [12, 20, 96, 80], "area": 5210, "iscrowd": 0,
     "segmentation": {"size": [256, 256], "counts": "..."}, "style": "noto", "hidden": 0.21}
"""

from collections import Counter
from typing import Any

from miniature.scenes.scene import Scene
from miniature.vocabulary import Entry
from mosaicfusion.categories import Category, Frequency
from mosaicfusion.dataset.lvis import category_records
from mosaicfusion.masks import rle

LICENSES = [
    {"id": 1, "name": "MIT", "url": "https://opensource.org/license/mit"},
    {"id": 2, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    {"id": 3, "name": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
]


def image_file(split: str, image_id: int) -> str:
    """The name of an image under the folder of the data set."""
    return f"images/{split}/{image_id:012d}.jpg"


class Split:
    """``train`` or ``val``, filled scene by scene. Image ids go on from ``first_id``, so that the splits share none."""

    def __init__(self, name: str, entries: list[Entry], first_id: int) -> None:
        self.name, self.entries, self.first_id = name, entries, first_id
        self.ids = sorted(entry.record["id"] for entry in entries)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, scene: Scene) -> str:
        """Take in a scene; return the name that its image is to have."""
        image_id = self.first_id + len(self.images)
        name = image_file(self.name, image_id)
        shown = [self.entries[instance.card.category].record["id"] for instance in scene.instances]
        height, width = scene.image.shape[:2]
        self.images.append(
            {
                "id": image_id,
                "file_name": name,
                "coco_url": f"minilvis://{name}",
                "width": width,
                "height": height,
                # All that is not there: whatever a detector finds too much counts as false.
                "neg_category_ids": [id_ for id_ in self.ids if id_ not in shown],
                "not_exhaustive_category_ids": [],
            }
        )
        for id_, instance in zip(shown, scene.instances, strict=True):
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": id_,
                    "bbox": [int(side) for side in rle.box_xywh(instance.mask)],
                    "area": rle.area(instance.mask),
                    "iscrowd": 0,
                    "segmentation": rle.encode(instance.mask),
                    "style": instance.card.style,
                    "hidden": round(instance.hidden, 2),
                }
            )
        return name

    def to_json(self, frequencies: dict[int, Frequency] | None = None) -> dict[str, Any]:
        """``frequencies`` by category id: those of the training set, for the others; without them LVIS' rule gives them."""
        instances = Counter(annotation["category_id"] for annotation in self.annotations)
        pairs = {(annotation["category_id"], annotation["image_id"]) for annotation in self.annotations}
        records = [entry.record for entry in self.entries]
        categories = [
            Category(
                id=record["id"],
                name=record["name"],
                synonyms=tuple(record["synonyms"]),
                definition=record["def"],
                synset=record["synset"],
                frequency=frequencies[record["id"]] if frequencies else None,
            )
            for record in records
        ]
        return {
            "info": {"description": f"MiniLVIS {self.name}: scenes rendered from drawings", "version": "1.0"},
            "licenses": LICENSES,
            "images": self.images,
            "annotations": self.annotations,
            "categories": category_records(categories, Counter(category for category, _ in pairs), instances),
        }


def letters_of(data: dict[str, Any]) -> dict[int, Frequency]:
    """Category id -> frequency letter of a data set."""
    return {category["id"]: category["frequency"] for category in data["categories"]}
