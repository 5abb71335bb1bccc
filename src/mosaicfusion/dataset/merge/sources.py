"""What is merged into a real data set: a run folder, or another LVIS or COCO json beside its images."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.coco import (
    CATEGORY_LISTS,
    AnnotationRef,
    CategoryRef,
    DatasetFile,
    ImageRef,
    image_name,
    require_unique,
)
from mosaicfusion.dataset.lvis import compile_lvis
from mosaicfusion.dataset.thresholds import accepted
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder


@dataclass(frozen=True)
class Source:
    """A data set in memory; ``folder`` is what the names of its images are relative to."""

    path: Path
    folder: Path
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """The run folder's or file's name as part of a path."""
        name = self.path.resolve().name.removesuffix(".json")
        return re.sub(r"\W+", "_", name).strip("_") or "set"

    def image_path(self, image: dict[str, Any]) -> Path:
        """Where the image should be."""
        return self.folder / (image_name(msgspec.convert(image, ImageRef)) or "")

    def annotations_by_image(self) -> dict[int, list[dict[str, Any]]]:
        """Annotations of each image that has any, in the order of the file."""
        grouped = defaultdict(list)
        for annotation in self.data["annotations"]:
            grouped[annotation["image_id"]].append(annotation)
        return grouped

    def categories_in_use(self) -> list[CategoryRef]:
        """The categories that an annotation or an image's list names; the others do not come along."""
        used = {annotation["category_id"] for annotation in self.data["annotations"]}
        used.update(id_ for image in self.data["images"] for key in CATEGORY_LISTS for id_ in image.get(key) or [])
        return [msgspec.convert(c, CategoryRef) for c in self.data["categories"] if c["id"] in used]


def read_source(path: Path, policy: Policy | None = None, masks: MaskFormat | None = None) -> Source:
    """A run folder, compiled from its parts, or a json; raises :class:`MosaicFusionError` if it cannot be relied on.

    ``policy`` and ``masks`` are those of :func:`mosaicfusion.dataset.lvis.compile_lvis`, as last time if left out, and so is
    the least quality. They hold for run folders; another json is taken as it stands.
    """
    if path.is_dir():
        run = RunFolder.open(path)
        output = run.manifest.output
        policy, masks = policy or output.policy, masks or output.masks
        data = compile_lvis(accepted(run), run.categories, policy, masks)
        return Source(path, path, data)
    file = DatasetFile.open(path)
    for key, kind in (("images", ImageRef), ("annotations", AnnotationRef), ("categories", CategoryRef)):
        file.parse(key, list[kind])  # type: ignore[valid-type]
    source = Source(path, path.parent, {key: file.parse(key, Any) for key in file.fields})
    _check_references(source)
    return source


def _check_references(source: Source) -> None:
    """Ids must be unique and known, or masks would land on other images or categories."""
    data = source.data
    ids = {key: [entry["id"] for entry in data[key]] for key in ("images", "categories")}
    for key, known in ids.items():
        require_unique(source.path, key, known)
    uses = [("image_id", annotation["image_id"], "images") for annotation in data["annotations"]]
    uses += [("category_id", annotation["category_id"], "categories") for annotation in data["annotations"]]
    uses += [
        (key, id_, "categories") for image in data["images"] for key in CATEGORY_LISTS for id_ in image.get(key) or []
    ]
    known_ids = {key: set(known) for key, known in ids.items()}
    for field, id_, key in uses:
        if id_ not in known_ids[key]:
            raise MosaicFusionError(
                f"{source.path}: {field} {id_} is not among its {key}; `mosaicfusion validate` says where"
            )
