"""Drawn data sets into a real one: what a trainer reads.

The real part is never rewritten: its annotations and images go over as bytes, so unknown fields and every digit stay. Ids of
what is added come after the highest that are there. Categories keep the frequency of the real set; ``image_count`` and
``instance_count`` are counted again wherever the real set has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.categories import check_name
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.coco import (
    CATEGORY_LISTS,
    SYNTHETIC,
    AnnotationRef,
    CategoryRef,
    DatasetFile,
    ImageRef,
    image_name,
    require_unique,
    url_tail,
)
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.merge.images import ImageMode, find_images, new_names, place_images
from mosaicfusion.dataset.merge.sources import Source, read_source
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic


@dataclass
class Added:
    """What came of one source. ``folders``: where its images must be under the images' root -> where they are now."""

    path: Path
    images: int = 0
    annotations: int = 0
    over_cap: int = 0  # images left out by max_per_category
    matched: int = 0  # categories
    new_categories: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    run_lengths: bool = False  # whether a mask is not a polygon


@dataclass
class MergeSummary:
    """``images`` and ``annotations`` are those of the real part as it is in ``out``, without the ``removed`` ones."""

    out: Path
    images: int
    annotations: int
    removed: int
    added: list[Added]


def merge(
    real: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    open_vocabulary: bool = False,
    max_per_category: int | None = None,
    image_mode: ImageMode | None = None,
    policy: Policy | None = None,
    masks: MaskFormat | None = None,
    choices: Mapping[str, str] | None = None,
    on_image: Callable[[int, int], None] | None = None,
) -> MergeSummary:
    """Write ``out``: the data set ``real``, and after it each of ``sources``, run folders or other jsons.

    Args:
        open_vocabulary: remove the annotations of rare categories from the real part; its images and categories stay.
        max_per_category: at most so many drawn instances of a category, over all sources. Images are taken whole, in order,
            as long as no category on them goes over it: without one of its masks, an object would count as background.
            So a category can end below the cap though more of it was drawn.
        image_mode: put the drawn images beside ``out``; if left out, they must be put under the images' root by hand.
        policy, masks: see :func:`mosaicfusion.dataset.merge.sources.read_source`.
        choices: which category of ``real`` a drawn one is, where that is in doubt; see :class:`Matcher`.
        on_image: called with (images transferred, images in all).

    Raises :class:`MosaicFusionError` on anything the user can mend; ``out`` is then what it was before.
    """
    _check_paths(real, sources, out)
    merger = _Merger(DatasetFile.open(real), choices, max_per_category)
    if open_vocabulary:
        merger.remove_rare()
    added: list[Added] = []
    files: dict[str, Path] = {}
    for path in sources:
        source = read_source(path, policy, masks)
        names, result = merger.add(source)
        added.append(result)
        if image_mode:
            files |= find_images(source, names)
    if unused := merger.matcher.unused_choices():
        raise MosaicFusionError(f"--match names {', '.join(unused)}, which no source has; give a drawn category's name")
    data = merger.to_bytes()
    if image_mode:
        place_images(files, out.parent, image_mode, on_image)
    write_atomic(out, data)  # last of all: what it names is there
    return MergeSummary(out, merger.real_images, len(merger.rows), merger.removed, added)


def _check_paths(real: Path, sources: Sequence[Path], out: Path) -> None:
    if out.resolve() in {path.resolve() for path in (real, *sources)}:
        raise MosaicFusionError(f"{out} is an input and would be overwritten; give another -o")
    inside = [path for path in sources if path.is_dir() and out.resolve().is_relative_to(path.resolve())]
    if inside:
        raise MosaicFusionError(f"{out} is in the run folder {inside[0]}, which keeps its own files; give another -o")
    twice = [path for path, count in Counter(path.resolve() for path in sources).items() if count > 1]
    if twice:
        raise MosaicFusionError(f"{twice[0]} is given more than once; its images would be in the data set as often")


class _Merger:
    """The real part, its rows as bytes, and rows that come after them."""

    def __init__(self, file: DatasetFile, choices: Mapping[str, str] | None, cap: int | None) -> None:
        self.file = file
        categories = file.parse("categories", list[CategoryRef])
        require_unique(file.path, "categories", (category.id for category in categories))
        self.rare = {category.id for category in categories if category.frequency == "r"}
        self.matcher = Matcher(categories, choices)
        images = file.parse("images", list[ImageRef])
        self.real_images = len(images)
        self.taken = {name for image in images for name in (image_name(image), url_tail(image.coco_url)) if name}
        self.next_image_id = 1 + max((image.id for image in images), default=0)
        self.rows = file.parse("annotations", list[msgspec.Raw])
        self.references = file.parse("annotations", list[AnnotationRef])  # of the rows
        self.next_annotation_id = 1 + max((reference.id for reference in self.references), default=0)
        self.removed = 0
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = []
        self.cap = cap
        self.drawn: Counter[int] = Counter()  # instances by category

    def remove_rare(self) -> None:
        """Drop the annotations of rare categories."""
        if not self.rare:
            raise MosaicFusionError(f"{self.file.path} has no category of frequency r, as --open-vocabulary needs")
        common = [k for k, reference in enumerate(self.references) if reference.category_id not in self.rare]
        self.removed = len(self.rows) - len(common)
        self.rows, self.references = [self.rows[k] for k in common], [self.references[k] for k in common]

    def add(self, source: Source) -> tuple[dict[int, str], Added]:
        """Append a source. Returns the new names of its images by their ids there, and what came of it."""
        in_use = source.categories_in_use()
        ids, new = self.matcher.ids(in_use, str(source.path))
        records = {category["id"]: category for category in source.data["categories"]}
        self.categories += [{**records[c.id], "id": ids[c.id], "name": check_name(c.name)} for c in new]
        added = Added(source.path, matched=len(in_use) - len(new), new_categories=[category.name for category in new])
        annotations = source.annotations_by_image()
        chosen = []
        for image in source.data["images"]:
            if self._within_cap(ids[annotation["category_id"]] for annotation in annotations[image["id"]]):
                chosen.append(image)
        added.over_cap = len(source.data["images"]) - len(chosen)
        names = new_names(source, chosen, self.taken)
        self.taken.update(names.values())
        for image in chosen:
            name = names[image["id"]]
            added.images += 1
            added.annotations += len(annotations[image["id"]])
            added.run_lengths |= any(isinstance(a.get("segmentation"), dict) for a in annotations[image["id"]])
            added.folders.setdefault(name.split("/")[0], source.image_path(image).parent)
            self._add_image(image, name, annotations[image["id"]], ids)
        return names, added

    def _within_cap(self, category_ids: Iterable[int]) -> bool:
        """Whether an image with these objects may come along; if so, they count from now on."""
        counts = Counter(category_ids)
        if self.cap is not None and any(self.drawn[id_] + count > self.cap for id_, count in counts.items()):
            return False
        self.drawn += counts
        return True

    def _add_image(
        self, image: dict[str, Any], name: str, annotations: list[dict[str, Any]], ids: dict[int, int]
    ) -> None:
        negative, not_exhaustive = ({ids[id_] for id_ in image.get(key) or []} for key in CATEGORY_LISTS)
        negative -= {ids[annotation["category_id"]] for annotation in annotations}  # two categories may have become one
        lists = dict(zip(CATEGORY_LISTS, (sorted(negative), sorted(not_exhaustive)), strict=True))
        new = {**image, **lists, "id": self.next_image_id, "file_name": name, "coco_url": f"{SYNTHETIC}run/{name}"}
        new.pop("license", None)  # a number in the source's own list of licences
        self.images.append(new)
        for annotation in annotations:
            place = {
                "id": self.next_annotation_id,
                "image_id": new["id"],
                "category_id": ids[annotation["category_id"]],
            }
            self.annotations.append({**annotation, **place})
            self.next_annotation_id += 1
        self.next_image_id += 1

    def to_bytes(self) -> bytes:
        """The merged JSON; with nothing added and nothing removed, the content of the real file."""
        lists: dict[str, list[Any]] = {"annotations": [*self.rows, *map(msgspec.json.encode, self.annotations)]}
        if self.images or self.removed:
            lists["images"] = [*self.file.parse("images", list[msgspec.Raw]), *map(msgspec.json.encode, self.images)]
            lists["categories"] = self._counted_categories()
        return self.file.with_lists(**lists)

    def _counted_categories(self) -> list[bytes]:
        categories = [*self.file.parse("categories", list[dict[str, Any]]), *self.categories]
        pairs = [(reference.category_id, reference.image_id) for reference in self.references]
        pairs += [(annotation["category_id"], annotation["image_id"]) for annotation in self.annotations]
        counts = {
            "instance_count": Counter(category_id for category_id, _ in pairs),
            "image_count": Counter(category_id for category_id, _ in set(pairs)),
        }
        counted = ({**c, **{key: count[c["id"]] for key, count in counts.items() if key in c}} for c in categories)
        return [msgspec.json.encode(category) for category in counted]
