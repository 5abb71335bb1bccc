"""The classes of a detector: label 0 is the background, label k the k-th category by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import FREQUENCIES, MAX_ID, check_name
from mosaicfusion.dataset.coco import CategoryRef, DatasetFile
from mosaicfusion.errors import MosaicFusionError, first_few, shown


@dataclass(frozen=True)
class DetectorClass:
    """A category of a detector; ``frequency``: LVIS' r, c or f, or None."""

    id: int
    name: str
    frequency: str | None = None


@dataclass(frozen=True)
class ClassList:
    """Categories in the order of their ids; ``source``: the file or checkpoint that messages name.

    Raises :class:`MosaicFusionError` if the list is empty, an id or a name occurs twice, or a name cannot be printed.
    """

    classes: tuple[DetectorClass, ...]
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(sorted(self.classes, key=lambda one: one.id)))
        if not self.classes:
            raise MosaicFusionError(f"{self.source} has no categories; a detector needs at least one")
        for name in ("id", "name"):
            value, count = Counter(getattr(one, name) for one in self.classes).most_common(1)[0]
            if count > 1:
                raise MosaicFusionError(
                    f"{self.source}: {count} categories have the {name} {value!r:.80}; each needs its own"
                )
        for one in self.classes:
            check_name(one.name)

    @classmethod
    def of(cls, file: DatasetFile) -> ClassList:
        """The categories of an LVIS or COCO json."""
        refs = file.parse("categories", list[CategoryRef])
        frequencies = [ref.frequency if ref.frequency in FREQUENCIES else None for ref in refs]
        classes = (DetectorClass(ref.id, ref.name, frequency) for ref, frequency in zip(refs, frequencies, strict=True))
        return cls(tuple(classes), str(file.path))

    @classmethod
    def open(cls, path: Path) -> ClassList:
        """The categories of an LVIS or COCO json on disk."""
        return cls.of(DatasetFile.open(path))

    @classmethod
    def from_json(cls, values: Any, source: str) -> ClassList:
        """The reverse of :meth:`to_json`, for values from an untrusted file."""
        try:
            classes = tuple(DetectorClass(**value) for value in values)
            sound = all(
                type(one.id) is int
                and abs(one.id) <= MAX_ID
                and isinstance(one.name, str)
                and one.frequency in (None, *FREQUENCIES)
                for one in classes
            )
        except TypeError:
            sound = False
        if not sound:
            raise MosaicFusionError(f"{source} has no list of categories with id, name and frequency; train it again")
        return cls(classes, source)

    def to_json(self) -> list[dict[str, Any]]:
        """Convert to plain values, for a checkpoint."""
        return [asdict(one) for one in self.classes]

    def __len__(self) -> int:
        """Number of categories, without the background."""
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """Names in the order of labels; that of label k is at k - 1."""
        return [one.name for one in self.classes]

    @property
    def category_ids(self) -> NDArray[np.int64]:
        """int64 (C + 1,): category id of each label; 0 for the background."""
        return np.array([0, *(one.id for one in self.classes)], np.int64)

    def labels(self) -> dict[int, int]:
        """The label of each category id, in 1..C."""
        return {one.id: label for label, one in enumerate(self.classes, start=1)}

    def labels_of(self, frequencies: str) -> list[int]:
        """Labels of the categories with one of these frequencies, for example ``"r"`` for rare (or novel) ones."""
        return [
            label for label, one in enumerate(self.classes, start=1) if one.frequency and one.frequency in frequencies
        ]

    def require_same(self, other: ClassList) -> None:
        """Raise :class:`MosaicFusionError` naming the differences, unless both lists have the same ids and names.

        Frequencies may differ: a training set has its own.
        """
        own, others = ({one.id: one.name for one in side.classes} for side in (self, other))
        differences = [
            *_only(self.source, [one for one in self.classes if one.id not in others]),
            *_only(other.source, [one for one in other.classes if one.id not in own]),
        ]
        renamed = [
            f"{id_} is {shown(own[id_])} and {shown(others[id_])}"
            for id_ in own
            if others.get(id_, own[id_]) != own[id_]
        ]
        if renamed:
            differences.append(f"{len(renamed)} with different names ({first_few(renamed)})")
        if differences:
            raise MosaicFusionError(
                f"the categories of {self.source} and {other.source} differ: {'; '.join(differences)}; training, validation "
                "and checkpoint need the same list"
            )

    def require_all_of(self, other: ClassList) -> None:
        """Raise :class:`MosaicFusionError` unless every category of ``other`` is here, with the same id and name.

        This list may have more: a merge adds categories that a validation set lacks.
        """
        ids = {one.id for one in other.classes}
        ClassList(tuple(one for one in self.classes if one.id in ids) or self.classes, self.source).require_same(other)


def _only(source: str, classes: Sequence[DetectorClass]) -> Iterable[str]:
    if classes:
        yield f"{len(classes)} only in {source} ({first_few([f'{one.id} {shown(one.name)}' for one in classes])})"
