"""The real part of a merged set, with its rows as bytes, and the rows that are added to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.categories import check_name, nearest_spellings, normalize_name
from mosaicfusion.dataset.coco import (
    CATEGORY_LISTS,
    SYNTHETIC,
    AnnotationRef,
    CategoryRef,
    DatasetFile,
    ImageRef,
    Record,
    image_name,
    require_unique,
    url_tail,
)
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.merge.images import image_path, new_names
from mosaicfusion.dataset.merge.renumber import renumbered
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.errors import MosaicFusionError

_BLANK = (b"null", b"[]", b"[[]]", b"{}")


@dataclass
class Added:
    """Counts of one merged source. ``folders``: folder under the images' root -> folder where its images are now.

    ``over_cap``: images left out because of ``max_per_category``. ``matches``: name of a category -> its name in the real set.
    ``run_lengths``: True if a mask is not a polygon. ``similar``: name of a new category -> a similar one in the real set.
    """

    path: Path
    images: int = 0
    annotations: int = 0
    over_cap: int = 0
    matches: dict[str, str] = field(default_factory=dict)
    new_categories: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    run_lengths: bool = False
    similar: dict[str, str] = field(default_factory=dict)

    @property
    def matched(self) -> int:
        """Number of categories that the real set has."""
        return len(self.matches)


class _Mask(msgspec.Struct):
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    iscrowd: Any = 0


class Merger:
    """The real part, with its rows as bytes, and the rows that are added to it."""

    def __init__(self, file: DatasetFile, choices: Mapping[str, str] | None, cap: int | None) -> None:
        self.file = file
        categories = file.parse("categories", list[CategoryRef])
        require_unique(file.path, "categories", (category.id for category in categories))
        self.rare = {category.id for category in categories if category.frequency == "r"}
        self.matcher = Matcher(categories, choices)
        self.real_names = {normalize_name(category.name): category.name for category in categories}
        images = file.parse("images", list[ImageRef])
        self.real_images = len(images)
        self.taken = {name for image in images for name in (image_name(image), url_tail(image.coco_url)) if name}
        self.next_image_id = 1 + max((image.id for image in images), default=0)
        self.references = file.parse("annotations", list[AnnotationRef])
        self.rows = file.parse("annotations", list[msgspec.Raw])  # of the references
        self.next_annotation_id = 1 + max((reference.id for reference in self.references), default=0)
        self.removed = 0
        self.images: list[Record] = []
        self.annotations: list[Record] = []
        self.categories: list[Record] = []
        self.cap = cap
        self.instances: Counter[int] = Counter()  # added ones, by category

    def image_refs(self) -> list[ImageRef]:
        """The real images."""
        return self.file.parse("images", list[ImageRef])

    def remove_rare(self) -> None:
        """Remove the annotations of rare categories."""
        if not self.rare:
            raise MosaicFusionError(f"{self.file.path} has no category of frequency r, as --open-vocabulary needs")
        common = [k for k, reference in enumerate(self.references) if reference.category_id not in self.rare]
        self.removed = len(self.rows) - len(common)
        self.rows, self.references = [self.rows[k] for k in common], [self.references[k] for k in common]

    def add(self, dataset: Dataset) -> tuple[dict[int, str], Added]:
        """Append a data set. Returns the new names of its images by their ids there, and the counts."""
        samples = list(dataset)
        in_use = dataset.categories_in_use
        ids, new = self.matcher.ids(in_use, str(dataset.path))
        records = {category["id"]: category for category in dataset.categories}
        self.categories += [{**records[c.id], "id": ids[c.id], "name": check_name(c.name)} for c in new]
        new_ids = {category.id for category in new}
        added = Added(
            dataset.path,
            matches={c.name: self.matcher.name_of(ids[c.id]) for c in in_use if c.id not in new_ids},
            new_categories=[category.name for category in new],
            similar={c.name: self.real_names[near[0]] for c in new if (near := self._nearest(c.name))},
        )
        chosen = [
            sample
            for sample in samples
            if self._within_cap(ids[annotation["category_id"]] for annotation in sample.annotation_records)
        ]
        added.over_cap = len(samples) - len(chosen)
        names = new_names(dataset, chosen, self.taken)
        self.taken.update(names.values())
        for sample in chosen:
            name, annotations = names[sample.id], sample.annotation_records
            added.images += 1
            added.annotations += len(annotations)
            added.run_lengths |= any(isinstance(a.get("segmentation"), dict) for a in annotations)
            added.folders.setdefault(name.split("/")[0], image_path(dataset, sample.record).parent)
            self._add_image(sample.record, name, annotations, ids)
        return names, added

    def _nearest(self, name: str) -> list[str]:
        if normalize_name(name) in self.matcher.choices:  # the user chose a new one
            return []
        return nearest_spellings(name, self.real_names, 1)

    def _within_cap(self, category_ids: Iterable[int]) -> bool:
        """True if an image with these objects may be added; they count from now on."""
        counts = Counter(category_ids)
        if self.cap is not None and any(self.instances[id_] + count > self.cap for id_, count in counts.items()):
            return False
        self.instances += counts
        return True

    def _add_image(self, image: Record, name: str, annotations: list[Record], ids: dict[int, int]) -> None:
        negative, not_exhaustive = ({ids[id_] for id_ in image.get(key) or []} for key in CATEGORY_LISTS)
        negative -= {ids[annotation["category_id"]] for annotation in annotations}  # two categories may have become one
        lists = dict(zip(CATEGORY_LISTS, (sorted(negative), sorted(not_exhaustive)), strict=True))
        names = {"file_name": name, "coco_url": name, SYNTHETIC: True}
        new = {**image, **lists, "id": self.next_image_id, **names}
        new.pop("license", None)  # a number in the source's own list of licences
        self.images.append(new)
        for annotation in annotations:
            ids_here = {
                "id": self.next_annotation_id,
                "image_id": new["id"],
                "category_id": ids[annotation["category_id"]],
            }
            self.annotations.append({**annotation, **ids_here})
            self.next_annotation_id += 1
        self.next_image_id += 1

    def notes(self) -> list[str]:
        """Notes on values that were read as something else, and on real annotations without a usable mask."""
        notes = [remark.text for remark in self.file.remarks]
        decoder = msgspec.json.Decoder(_Mask)
        blank = crowds = 0
        for row in self.rows:
            mask = decoder.decode(row)
            blank += bytes(mask.segmentation).replace(b" ", b"") in _BLANK
            crowds += mask.iscrowd == 1
        if blank:
            text = f"{blank} of {len(self.rows)} real annotations have a box and no mask: training leaves them out"
            notes.append(f"{text}, and exports refuse them")
        if self.rows and crowds == len(self.rows):
            text = "all real annotations have iscrowd 1, as CVAT writes masks: training leaves them out"
            notes.append(f"{text}; `mosaicfusion validate {self.file.path} --fix` clears the flag")
        return notes

    def to_bytes(self, renumber: bool = False) -> bytes:
        """The merged JSON; the content of the real file if nothing was added, removed or renumbered."""
        lists: dict[str, list[bytes]] = {"annotations": [*self.rows, *map(msgspec.json.encode, self.annotations)]}
        if self.images or self.removed or renumber:
            lists["images"] = [*self.file.parse("images", list[msgspec.Raw]), *map(msgspec.json.encode, self.images)]
            lists["categories"] = self._counted_categories()
        return self.file.with_lists(**(renumbered(self.file.path, lists) if renumber else lists))

    def _counted_categories(self) -> list[bytes]:
        categories = [*self.file.parse("categories", list[Record]), *self.categories]
        pairs = [(reference.category_id, reference.image_id) for reference in self.references]
        pairs += [(annotation["category_id"], annotation["image_id"]) for annotation in self.annotations]
        counts = {
            "instance_count": Counter(category_id for category_id, _ in pairs),
            "image_count": Counter(category_id for category_id, _ in set(pairs)),
        }
        counted = ({**c, **{key: count[c["id"]] for key, count in counts.items() if key in c}} for c in categories)
        return [msgspec.json.encode(category) for category in counted]
