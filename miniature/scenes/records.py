"""Rendered scenes as a data set in LVIS' format, with complete lists of negative categories.

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
    """File name of an image, relative to the folder of the data set."""
    return f"images/{split}/{image_id:012d}.jpg"


class Split:
    """A split, ``train`` or ``val``, filled scene by scene; image ids count from ``first_id``, so that splits share none."""

    def __init__(self, name: str, entries: list[Entry], first_id: int) -> None:
        self.name, self.entries, self.first_id = name, entries, first_id
        self.ids = sorted(entry.record["id"] for entry in entries)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, scene: Scene) -> str:
        """Add a scene; return the file name of its image."""
        image_id = self.first_id + len(self.images)
        name = image_file(self.name, image_id)
        present = [self.entries[instance.spec.category].record["id"] for instance in scene.instances]
        height, width = scene.image.shape[:2]
        self.images.append(
            {
                "id": image_id,
                "file_name": name,
                "coco_url": f"minilvis://{name}",
                "width": width,
                "height": height,
                # All absent categories, so that every false positive counts.
                "neg_category_ids": [id_ for id_ in self.ids if id_ not in present],
                "not_exhaustive_category_ids": [],
            }
        )
        for id_, instance in zip(present, scene.instances, strict=True):
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": id_,
                    "bbox": [int(side) for side in rle.box_xywh(instance.mask)],
                    "area": rle.area(instance.mask),
                    "iscrowd": 0,
                    "segmentation": rle.encode(instance.mask),
                    "style": instance.spec.style,
                    "hidden": round(instance.hidden, 2),
                }
            )
        return name

    def to_json(self, frequencies: dict[int, Frequency] | None = None) -> dict[str, Any]:
        """Convert to an LVIS json. ``frequencies``: by category id, those of the training set; None: by LVIS' rule."""
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


def frequencies_of(data: dict[str, Any]) -> dict[int, Frequency]:
    """Frequency of each category of a data set, by id."""
    return {category["id"]: category["frequency"] for category in data["categories"]}
