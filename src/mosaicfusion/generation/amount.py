"""The number of canvases that a run is to have: given, or as many as some numbers of instances need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Selection
from mosaicfusion.dataset.stats import count_categories
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import Summary
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.report.stats import CategoryTally

CANVASES_PER_CATEGORY = 25  # the default
_CANVASES_PER_INSTANCE = 4  # a category that fails more often is given up
_FIRST_GROWTH = (
    4  # canvases per category that a round may add beyond twice those before: its rate may be a poor estimate
)


class Amount(Protocol):
    """:class:`Canvases` or :class:`Instances`."""

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """Number of canvases for each main category of a plan.

        ``current``: those that the run has or lacks. ``summary``: counts of them, if they are complete.
        """
        ...

    def short(self, summary: Summary) -> dict[str, tuple[int, int]]:
        """By name, the instances that there are and those that are wanted, of each category that lacks some."""
        ...


@dataclass(frozen=True)
class Canvases:
    """The same number of canvases for each main category."""

    each: int = CANVASES_PER_CATEGORY

    def __post_init__(self) -> None:
        if self.each < 1:
            raise MosaicFusionError(f"canvases_per_category={self.each} must be at least 1")

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """See :class:`Amount`."""
        return (self.each,) * len(plan.main)

    def short(self, summary: Summary) -> dict[str, tuple[int, int]]:
        """See :class:`Amount`: no number of instances is wanted."""
        return {}


@dataclass(frozen=True)
class Instances:
    """As many canvases as it takes until the data set holds ``wanted`` instances, by name of the main category.

    A category gets at most ``max_canvases`` canvases of its own, by default four for each wanted instance. Canvases are
    generated in rounds. A round is planned from the counts of those before and nothing else, so that any number of workers,
    and a run that was interrupted, come to the same canvases.
    """

    wanted: Mapping[str, int]
    max_canvases: int | None = None

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """See :class:`Amount`. Canvases that are planned but not complete are completed first."""
        if summary is None and any(current):
            return tuple(current)
        before = np.array(current)
        wanted = np.array([self.wanted.get(category.name, 0) for category in plan.main])
        seen = summary.per_category if summary else {}
        tallies = [seen.get(category.name, CategoryTally(category.name)) for category in plan.main]
        requested, have = (np.array([getattr(tally, kind) for tally in tallies]) for kind in ("requested", "used"))
        kept = (have + 1) / (requested + 1)  # of a region that shows the category; 1 before there are any
        limit = np.full_like(wanted, self.max_canvases) if self.max_canvases else _CANVASES_PER_INSTANCE * wanted
        if summary:
            limit = np.minimum(limit, 2 * before + _FIRST_GROWTH)
        shown = _ObjectsShown(plan)
        added = np.zeros_like(before)
        while True:
            expected = have + kept * shown(added)
            more = (expected < wanted) & (before + added < limit)
            if not more.any():
                return tuple((before + added).tolist())
            added[more] += 1

    def short(self, summary: Summary) -> dict[str, tuple[int, int]]:
        """See :class:`Amount`."""
        have = {name: tally.used for name, tally in summary.per_category.items()}
        return {name: (have.get(name, 0), count) for name, count in self.wanted.items() if have.get(name, 0) < count}


class _ObjectsShown:
    """Objects of each main category that some canvases show on average, as the main category or as partners."""

    def __init__(self, plan: Plan) -> None:
        partners = {category.id for category in plan.partners}
        self._is_partner = np.array([category.id in partners for category in plan.main])
        # A canvas shows its main category once more only if there is no other partner.
        self._others = np.maximum(1, len(partners) - self._is_partner)
        self._alone = len(partners) == 1
        self._partners = np.mean([plan.count(group * plan.config.layout.group_size) for group in range(32)]) - 1

    def __call__(self, canvases: NDArray[np.int64]) -> NDArray[np.float64]:
        """``canvases``: int64 (main categories,), their number for each; returns float64 (main categories,)."""
        each = canvases * self._partners / self._others
        return np.asarray(canvases + self._is_partner * (each.sum() - (0 if self._alone else each)))


def make_amount(
    selection: Selection,
    canvases_per_category: int | None = None,
    instances_per_category: int | None = None,
    balance: str | Path | None = None,
) -> Amount:
    """The amount that the arguments of :func:`mosaicfusion.generate` mean; raises :class:`MosaicFusionError`."""
    if instances_per_category is None:
        if balance is not None:
            raise MosaicFusionError(_advise(balance))
        return Canvases(CANVASES_PER_CATEGORY if canvases_per_category is None else canvases_per_category)
    if instances_per_category < 1:
        raise MosaicFusionError(f"instances_per_category={instances_per_category} must be at least 1")
    if canvases_per_category is not None and canvases_per_category < 1:
        raise MosaicFusionError(f"canvases_per_category={canvases_per_category} must be at least 1")
    real = count_categories(balance, selection.main) if balance is not None else {}
    wanted = {
        category.name: max(0, instances_per_category - (real[category.name].instances if real else 0))
        for category in selection.main
    }
    if not any(wanted.values()):
        raise MosaicFusionError(
            f"every category has {instances_per_category} instances in {balance} already: there is nothing to generate"
        )
    return Instances(wanted, canvases_per_category)


def _advise(balance: str | Path) -> str:
    return f"--balance {balance} needs --instances-per-category: the number that each category is to have with the file's own"
