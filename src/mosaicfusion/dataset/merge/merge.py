"""Merging synthetic data sets into a real one, for trainers.

The real part is never rewritten: its annotations and images are copied as bytes, so unknown fields and every digit stay. Ids of
added rows come after the highest existing ones. Categories keep the frequency of the real set; ``image_count`` and
``instance_count`` are counted again wherever the real set has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
    Record,
    image_name,
    require_unique,
    url_tail,
)
from mosaicfusion.dataset.match import Matcher
from mosaicfusion.dataset.merge.images import ImageMode, find_images, image_path, new_names, place_images
from mosaicfusion.dataset.reader import Dataset, open_dataset, open_json
from mosaicfusion.dataset.sample import Sample
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.run.folder import RunFolder


@dataclass
class Added:
    """Counts of one merged source. ``folders``: folder under the images' root -> folder where its images are now.

    ``over_cap``: images left out because of ``max_per_category``. ``matched``: categories that the real set has.
    ``run_lengths``: True if a mask is not a polygon.
    """

    path: Path
    images: int = 0
    annotations: int = 0
    over_cap: int = 0
    matched: int = 0
    new_categories: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    run_lengths: bool = False


@dataclass
class MergeSummary:
    """Counts of a merged set. ``images`` and ``annotations`` are those of the real part, without the ``removed`` ones."""

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
    """Write ``out``: the data set ``real`` followed by each of ``sources``, run folders or other jsons beside their images.

    Args:
        open_vocabulary: remove the annotations of rare categories from the real part; its images and categories stay.
        max_per_category: maximum number of added instances per category, over all sources. Images are taken whole, in order,
            as long as no category on them exceeds it: without one of its masks, an object would count as background.
            So a category can end below the maximum though more instances exist.
        image_mode: copy or link the added images to the folder of ``out``; if left out, put them under the images' root
            yourself.
        policy, masks: see :class:`mosaicfusion.config.OutputSettings`; for run folders, whose own settings hold if left out.
        choices: category of ``real`` for an added category, where it is ambiguous; see :class:`Matcher`.
        on_image: called with (images placed, all images).

    Raises :class:`MosaicFusionError` for anything the user can fix; then ``out`` has not changed.
    """
    _check_paths(real, sources, out)
    merger = _Merger(DatasetFile.open(real), choices, max_per_category)
    if open_vocabulary:
        merger.remove_rare()
    added: list[Added] = []
    files: dict[str, Path] = {}
    for path in sources:
        dataset = _open_source(path, policy, masks)
        names, result = merger.add(dataset)
        added.append(result)
        if image_mode:
            files |= find_images(dataset, names)
    if unused := merger.matcher.unused_choices():
        raise MosaicFusionError(
            f"--match names {', '.join(unused)}, which no source has; give an added category's name"
        )
    data = merger.to_bytes()
    if image_mode:
        place_images(files, out.parent, image_mode, on_image)
    write_atomic(out, data)  # last of all: the images that it names exist
    return MergeSummary(out, merger.real_images, len(merger.rows), merger.removed, added)


def _open_source(path: Path, policy: Policy | None, masks: MaskFormat | None) -> Dataset:
    if not path.is_dir():
        return open_json(path, path.parent, complete=False)
    output = RunFolder.open(path).manifest.output
    return open_dataset(path, policy=policy, masks=masks or output.masks, allow_empty=True)


def _check_paths(real: Path, sources: Sequence[Path], out: Path) -> None:
    if out.resolve() in {path.resolve() for path in (real, *sources)}:
        raise MosaicFusionError(f"{out} is an input and would be overwritten; give another -o")
    inside = [path for path in sources if path.is_dir() and out.resolve().is_relative_to(path.resolve())]
    if inside:
        raise MosaicFusionError(f"{out} is in the run folder {inside[0]}, which keeps its own files; give another -o")
    twice = [path for path, count in Counter(path.resolve() for path in sources).items() if count > 1]
    if twice:
        raise MosaicFusionError(f"{twice[0]} is given more than once, which would repeat its images")


class _Merger:
    """The real part, with its rows as bytes, and the rows that are added to it."""

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
        self.images: list[Record] = []
        self.annotations: list[Record] = []
        self.categories: list[Record] = []
        self.cap = cap
        self.instances: Counter[int] = Counter()  # added ones, by category

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
        in_use = _categories_in_use(dataset, samples)
        ids, new = self.matcher.ids(in_use, str(dataset.path))
        records = {category["id"]: category for category in dataset.categories}
        self.categories += [{**records[c.id], "id": ids[c.id], "name": check_name(c.name)} for c in new]
        added = Added(dataset.path, matched=len(in_use) - len(new), new_categories=[category.name for category in new])
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
        new = {**image, **lists, "id": self.next_image_id, "file_name": name, "coco_url": f"{SYNTHETIC}run/{name}"}
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

    def to_bytes(self) -> bytes:
        """The merged JSON; the content of the real file if nothing was added or removed."""
        lists: dict[str, list[bytes]] = {"annotations": [*self.rows, *map(msgspec.json.encode, self.annotations)]}
        if self.images or self.removed:
            lists["images"] = [*self.file.parse("images", list[msgspec.Raw]), *map(msgspec.json.encode, self.images)]
            lists["categories"] = self._counted_categories()
        return self.file.with_lists(**lists)

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


def _categories_in_use(dataset: Dataset, samples: Iterable[Sample]) -> list[CategoryRef]:
    """The categories that an annotation or an image's list names; the others are not added."""
    used: set[int] = set()
    for sample in samples:
        used.update(annotation["category_id"] for annotation in sample.annotation_records)
        used.update(id_ for key in CATEGORY_LISTS for id_ in sample.record.get(key) or [])
    return [msgspec.convert(category, CategoryRef) for category in dataset.categories if category["id"] in used]
