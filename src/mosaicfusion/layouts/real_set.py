"""The part of a real set that scenes take, as it was read from a file and is kept in run.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mosaicfusion.settings import Settings

_Quantiles = Annotated[tuple[Annotated[float, Field(ge=0, le=1_000_000)], ...], Field(min_length=2, max_length=101)]
_Images = Annotated[int, Field(ge=0)]
_PRIOR = 5  # images: what all categories of the set say counts as much as so many images of the main category


class QuantileTable(Settings):
    """A value of the objects of a real set: quantiles in equal steps.

    ``by_category``: those of the categories with enough objects, by name; the others use ``overall``.
    """

    overall: _Quantiles
    by_category: dict[str, _Quantiles] = Field(default_factory=dict)

    def sample(self, name: str, rng: np.random.Generator) -> float:
        """A value for an object of the category called ``name``."""
        return float(_at(self.by_category.get(name, self.overall), rng.random()))

    def samples(self, name: str, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Several values, float64 (count,)."""
        return _at(self.by_category.get(name, self.overall), rng.random(count))


class PositionTable(Settings):
    """Places of objects in the room that their size leaves on the image: 0 at its left or upper edge, 1 at the opposite one.

    So a small object and a large one that both stand on the lower edge have the same value, 1.
    """

    across: QuantileTable
    down: QuantileTable


class CompanionTable(Settings):
    """Categories that are on an image together.

    ``images``: number of images of each category, by name. ``together``: of main categories, the number of images that show
    another category as well, for those with the most.
    """

    images: dict[str, _Images]
    together: dict[str, dict[str, _Images]]

    def weights(self, main: str, others: Sequence[str]) -> NDArray[np.float64]:
        """The frequency with which each of ``others`` is beside ``main``: float64 (others,), above 0 and 1 in total.

        A main category on few images, or on none, has the companions that are frequent in the set.
        """
        frequency = np.array([self.images.get(name, 0) for name in others], np.float64) + 1
        beside = self.together.get(main, {})
        weights = np.array([beside.get(name, 0) for name in others]) + _PRIOR * frequency / frequency.sum()
        return np.asarray(weights / weights.sum())


class RealSet(Settings):
    """The part that was read for each setting of a scene that is ``like:FILE``, by the setting's name."""

    objects: _Quantiles | None = Field(None, description="objects on an image")
    sizes: QuantileTable | None = Field(None, description="of objects, by the square root of their image's area")
    positions: PositionTable | None = None
    companions: CompanionTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_early_runs(cls, values: Any) -> Any:
        """Early runs hold the sizes alone."""
        return {"sizes": values} if isinstance(values, dict) and "overall" in values else values

    def count(self, rng: np.random.Generator) -> int:
        """A number of objects."""
        assert self.objects is not None
        return round(float(_at(self.objects, rng.random())))


def _at(quantiles: Sequence[float], part: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The values below which a ``part`` of all lie, in [0, 1]: float64 of the shape of ``part``."""
    return np.asarray(np.interp(part, np.linspace(0, 1, len(quantiles)), quantiles))
