"""The number of canvases that a run is to have: given, or as many as some numbers of instances need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Selection
from mosaicfusion.dataset.stats import CategoryCount, count_categories
from mosaicfusion.dataset.thresholds import thresholds_of
from mosaicfusion.errors import MosaicFusionError, counted, first_few
from mosaicfusion.generation.build_dataset import Aim, Summary
from mosaicfusion.generation.canvas_sampler import make_plan
from mosaicfusion.mosaic.plan import Plan, expected_by_weight
from mosaicfusion.report.stats import CategoryTally
from mosaicfusion.run.manifest import Manifest

CANVASES_PER_CATEGORY = 25  # the default
_CANVASES_PER_INSTANCE = 4  # a category that fails more often is given up
_FIRST_GROWTH = (
    4  # canvases per category that a round may add beyond twice those before: its rate may be a poor estimate
)


class Amount(Protocol):
    """:class:`Canvases` or :class:`Instances`."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user may want to know of the arguments."""
        ...

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """Number of canvases for each main category of a plan.

        ``current``: those that the run has or lacks. ``summary``: counts of them, if they are complete.
        """
        ...

    def aims(
        self, plan: Plan, counts: Sequence[int], missing: Sequence[int], summary: Summary | None
    ) -> dict[str, Aim]:
        """By name, the aim of each main category; empty if no instances are wanted.

        ``counts``: canvases of each. ``missing``: those of them that do not exist. ``summary``: counts of the others.
        """
        ...


@dataclass(frozen=True)
class Canvases:
    """The same number of canvases for each main category."""

    each: int = CANVASES_PER_CATEGORY
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.each < 1:
            raise MosaicFusionError(f"canvases_per_category={self.each} must be at least 1")

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """See :class:`Amount`."""
        return (self.each,) * len(plan.main)

    def aims(
        self, plan: Plan, counts: Sequence[int], missing: Sequence[int], summary: Summary | None
    ) -> dict[str, Aim]:
        """See :class:`Amount`: no number of instances is wanted."""
        return {}


@dataclass(frozen=True)
class Instances:
    """As many canvases as it takes until the data set holds ``wanted`` instances, by name of the main category.

    ``real``: instances that count as well, and need not be generated. A category gets at most ``max_canvases`` canvases of its
    own, by default four for each instance to be generated. Canvases are generated in rounds. A round is planned from the counts
    of those before and nothing else, so that any number of workers, and a run that was interrupted, come to the same canvases.
    """

    wanted: Mapping[str, int]
    max_canvases: int | None = None
    real: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def counts(self, plan: Plan, current: Sequence[int], summary: Summary | None) -> tuple[int, ...]:
        """See :class:`Amount`. Canvases that are planned but not complete are completed first."""
        if summary is None and any(current):
            return tuple(current)
        before = np.array(current)
        wanted = np.array([self._synthetic(category.name) for category in plan.main])
        have, kept = _have(plan, summary)
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

    def aims(
        self, plan: Plan, counts: Sequence[int], missing: Sequence[int], summary: Summary | None
    ) -> dict[str, Aim]:
        """See :class:`Amount`."""
        have, kept = _have(plan, summary)
        more = np.rint(kept * _ObjectsShown(plan)(np.array(missing))).astype(int)
        aims = {}
        for category, had, new, canvases in zip(plan.main, have.tolist(), more.tolist(), counts, strict=True):
            real = self.real.get(category.name, 0)
            aims[category.name] = Aim(real, had, self.wanted.get(category.name, 0), real + had + new, canvases)
        return aims

    def _synthetic(self, name: str) -> int:
        return max(0, self.wanted.get(name, 0) - self.real.get(name, 0))


def _have(plan: Plan, summary: Summary | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Instances of each main category in the data set, and the part of the regions that show it which are kept."""
    seen = summary.per_category if summary else {}
    tallies = [seen.get(category.name, CategoryTally(category.name)) for category in plan.main]
    requested, have = (np.array([getattr(tally, kind) for tally in tallies]) for kind in ("requested", "used"))
    return have, (have + 1) / (requested + 1)  # 1 before there are any


class _ObjectsShown:
    """Objects of each main category that some canvases show on average, as the main category or as partners."""

    def __init__(self, plan: Plan) -> None:
        partners = {category.id for category in plan.partners}
        self._is_partner = np.array([category.id in partners for category in plan.main])
        # A canvas shows its main category once more only if there is no other partner.
        self._others = np.maximum(1, len(partners) - self._is_partner)
        self._alone = len(partners) == 1
        self._partners = np.mean([plan.count(group * plan.config.layout.group_size) for group in range(32)]) - 1
        self._beside = _beside(plan, float(self._partners))

    def __call__(self, canvases: NDArray[np.int64]) -> NDArray[np.float64]:
        """``canvases``: int64 (main categories,), their number for each; returns float64 (main categories,)."""
        if self._beside is not None:
            return np.asarray(canvases + canvases @ self._beside)
        each = canvases * self._partners / self._others
        return np.asarray(canvases + self._is_partner * (each.sum() - (0 if self._alone else each)))


def _beside(plan: Plan, partners: float) -> NDArray[np.float64] | None:
    """Objects of each main category beside each other, on a canvas with a mean of ``partners``: float64 (main, beside).

    ``None`` if all companions are alike.
    """
    positions = {category.id: k for k, category in enumerate(plan.main)}
    beside = np.zeros((len(positions), len(positions)))
    for k, main in enumerate(plan.main):
        weights = plan.companion_weights(main)
        if weights is None:
            return None
        for category, objects in zip(plan.companions(main), expected_by_weight(weights, partners), strict=True):
            if category.id in positions:
                beside[k, positions[category.id]] += objects
    return beside


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
    wanted = {category.name: instances_per_category for category in selection.main}
    if balance is None:
        return Instances(wanted, canvases_per_category)
    counts = count_categories(balance, selection.main)
    real = {name: count.instances for name, count in counts.items()}
    if min(real.values()) >= instances_per_category:
        raise MosaicFusionError(
            f"every category has {instances_per_category} instances in {balance} already: there is nothing to generate"
        )
    return Instances(wanted, canvases_per_category, real, _absent(counts, balance))


def _absent(counts: Mapping[str, CategoryCount], balance: str | Path) -> list[str]:
    """A note on the categories that the json has not, perhaps because it spells them in another way."""
    absent = [
        name + (f" (nearest: {', '.join(count.nearest)})" if count.nearest else "")
        for name, count in counts.items()
        if count.nearest is not None
    ]
    if not absent:
        return []
    return [f"{balance} lacks {counted(len(absent), 'category')}, of which 0 instances count: {first_few(absent)}"]


def grow(manifest: Manifest, amount: Amount, summary: Summary | None) -> Manifest:
    """The manifest with the canvases that an amount needs; ``summary``: counts of those that it has, if they are complete.

    Raises :class:`MosaicFusionError` for fewer than it has.
    """
    return manifest.grown_to(amount.counts(make_plan(manifest, latent_factor=8), manifest.counts, summary))


def with_aims(summary: Summary, amount: Amount, manifest: Manifest) -> Summary:
    """A summary with the aims of the main categories, where no canvas is missing."""
    plan = make_plan(manifest, latent_factor=8)
    return replace(summary, aims=amount.aims(plan, manifest.counts, (0,) * len(plan.main), summary))


def reason_to_grow(summary: Summary, amount: Amount, grown: Manifest, since: str = "") -> str:
    """Why a complete run is to grow; empty if it is to have more canvases anyway.

    ``since``: what is said of the thresholds.
    """
    lacking = [
        f"{name} has {have} of {wanted}" for name, (have, wanted) in with_aims(summary, amount, grown).short.items()
    ]
    if not lacking:
        return ""
    thresholds = thresholds_of(summary.output)
    under = f" under {thresholds}{since}" if thresholds else ""
    return f"{first_few(lacking)}{under}; {counted(grown.total - summary.canvases, 'more canvas')}"


def _advise(balance: str | Path) -> str:
    return f"--balance {balance} needs --instances-per-category: the number that each category is to have with the file's own"
