"""The manifest of a run, ``run.json``: everything that decides what its canvases show, and how its data set is compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.errors import MosaicFusionError, first_few, first_line
from mosaicfusion.identity import differences
from mosaicfusion.settings import problems

FORMAT: Literal[1] = 1
_MAX_CANVASES = 10**9  # each takes a byte of memory
_IDENTITY = {"config", "categories", "model"}  # the fields that decide what canvas number i looks like
Count = Annotated[int, Field(ge=0, lt=2**40)]


class _Section(BaseModel):
    """A part of the manifest. Fields that this version does not know are ignored: a newer version wrote them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RunCategories(_Section):
    """``main`` categories are shown on a canvas in turn, ``partners`` fill its other regions."""

    main: tuple[Category, ...] = Field(min_length=1)
    partners: tuple[Category, ...]

    @property
    def union(self) -> list[Category]:
        """Both without repetition: the categories of the data set."""
        return list({category.id: category for category in (*self.main, *self.partners)}.values())


class ModelIdentity(_Section):
    """``digest`` of the model's files; ``refined_by`` identifies the annotator whose masks replaced the model's own."""

    digest: str
    refined_by: dict[str, Any] | None = None


class Manifest(_Section):
    """The content of ``run.json``. ``config``, ``categories`` and ``model`` are the run's identity: they never change.

    ``canvases_per_category``: canvases that each main category has first. ``rounds``: canvases that came after them, one number
    for each main category in a round.
    """

    format: Literal[1] = FORMAT
    config: RunConfig
    categories: RunCategories
    model: ModelIdentity
    canvases_per_category: Count
    rounds: tuple[tuple[Count, ...], ...] = ()
    output: OutputSettings = OutputSettings()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _rounds_fit(self) -> Manifest:
        if any(len(counts) != len(self.categories.main) for counts in self.rounds):
            raise ValueError("a round has another number of categories than the run")
        if self.total > _MAX_CANVASES:
            raise ValueError(f"{self.total} canvases are more than the {_MAX_CANVASES} that a run can have")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of canvases that the run is to have for each main category."""
        each = [self.canvases_per_category] * len(self.categories.main)
        return tuple(map(sum, zip(each, *self.rounds, strict=True)))

    @property
    def total(self) -> int:
        """Number of canvases that the run is to have."""
        return sum(self.counts)

    def grown_to(self, counts: Sequence[int]) -> Manifest:
        """The same run with these numbers of canvases; those that it has stay as they are.

        Raises :class:`MosaicFusionError` for a lower number, and for more than a run can have.
        """
        if sum(counts) > _MAX_CANVASES:
            raise MosaicFusionError(f"{sum(counts)} canvases are too many for one run; it can have {_MAX_CANVASES}")
        more = []
        for old, new in zip(self.counts, counts, strict=True):
            if new < old:
                raise MosaicFusionError(
                    f"the run was made with {old} canvases per category; a run can grow but not shrink to {new}"
                )
            more.append(new - old)
        if not any(more):
            return self
        if not self.rounds and len(set(counts)) == 1:
            return self.model_copy(update={"canvases_per_category": counts[0]})
        return self.model_copy(update={"rounds": (*self.rounds, tuple(more))})

    def with_canvases_of(self, other: Manifest) -> Manifest:
        """The same run with the canvases of ``other``, a run of the same categories."""
        update = {"canvases_per_category": other.canvases_per_category, "rounds": other.rounds}
        return self.model_copy(update=update)

    def to_bytes(self) -> bytes:
        """The content of ``run.json``."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Manifest:
        """Parse ``run.json``; ``source`` names the file in the :class:`MosaicFusionError` for anything else."""
        try:
            values = json.loads(data.decode())
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
            raise MosaicFusionError(f"cannot read {source}: {first_line(error)}") from None
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise MosaicFusionError(f"{source} is not a run of this version of mosaicfusion (format {FORMAT})")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = "\n  ".join(problems(error, cls)[:8])
            raise MosaicFusionError(f"{source} is damaged, or of another version of mosaicfusion:\n  {lines}") from None

    def differences(self, other: Manifest) -> list[str]:
        """One line per value of the identity that differs; for other categories, one that names them."""
        own, others = self._comparable(), other._comparable()
        changed: dict[str, str] = {}
        for kind in own["categories"].keys() & {"main", "partners"}:
            old, new = own["categories"][kind], others["categories"][kind]
            if old.keys() != new.keys():
                here = {"only in the run": old.keys() - new.keys(), "only now": new.keys() - old.keys()}
                texts = [f"{where}: {first_few(sorted(names))}" for where, names in here.items() if names]
                changed[f"categories.{kind}"] = "; ".join(texts)
                for categories in (own["categories"], others["categories"]):
                    del categories[kind], categories[f"order of {kind}"]
        if len(changed) == 2 and len({*changed.values()}) == 1:  # without --main, both are the same
            changed = {"categories": changed.popitem()[1]}
        return [f"{place}: {text}" for place, text in sorted(changed.items())] + differences(own, others)

    def _comparable(self) -> dict[str, Any]:
        identity = self.model_dump(mode="json", include=_IDENTITY)
        kinds = identity.pop("categories").items()
        by_name = {kind: {category["name"]: category for category in listed} for kind, listed in kinds}
        order = {f"order of {kind}": [category["name"] for category in listed] for kind, listed in kinds}
        return {**identity, "categories": {**by_name, **order}}
