"""Means and spreads over seeds, from the results of single runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from mosaicfusion.experiment.plan import ABLATIONS, BASELINE, COMPARED, PLUS_SYNTHETIC, RECIPES, Variant
from mosaicfusion.experiment.result import Metrics, Result

COLUMNS = ("AP", "AP_r", "AP_c", "AP_f")


@dataclass(frozen=True)
class Estimate:
    """One or more values, by seed, with their mean and spread."""

    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return mean(self.by_seed.values())

    @property
    def spread(self) -> float | None:
        """Sample standard deviation; None for a single value."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def percent(self, sign: str = "") -> str:
        """Format in percent: ``12.3 ± 0.4``, or ``12.3`` for a single value; ``sign="+"`` gives ``+12.3``."""
        return f"{100 * self.mean:{sign}.1f}" + ("" if self.spread is None else f" ± {100 * self.spread:.1f}")


@dataclass(frozen=True)
class Row:
    """Results of a detector on one variant of the data, over seeds.

    ``metrics``: by kind and name, such as mask and AP_r; ``styles``: mask metrics by style; ``per_category``: mask AP. None if no
    category has an instance.
    """

    detector: str
    variant: str
    title: str
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, Estimate | None]]
    styles: dict[str, dict[str, Estimate | None]]
    per_category: dict[str, Estimate | None]


def make_rows(results: Iterable[Result]) -> list[Row]:
    """Make one row per detector and variant, in the order of the plan; those that are not in the plan come last."""
    grouped: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        grouped[result.detector, result.variant].append(result)
    return [_row(sorted(grouped[key], key=lambda result: result.seed)) for key in sorted(grouped, key=_plan_order)]


def rows_of(rows: Iterable[Row], detector: str, variants: Sequence[Variant] = (BASELINE, PLUS_SYNTHETIC)) -> list[Row]:
    """The detector's rows of some variants, by default without and with synthetic data; fewer if they were not run."""
    names = [variant.name for variant in variants]
    return [row for row in rows if row.detector == detector and row.variant in names]


def gain(before: Estimate | None, after: Estimate | None) -> Estimate | None:
    """Differences of runs with the same seed, which share initial weights and random numbers; None without such runs."""
    if before is None or after is None:
        return None
    seeds = sorted(before.by_seed.keys() & after.by_seed.keys())
    return Estimate({seed: after.by_seed[seed] - before.by_seed[seed] for seed in seeds}) if seeds else None


def _row(results: Sequence[Result]) -> Row:
    first, seeds = results[0], [result.seed for result in results]
    titles = {variant.name: variant.title for variant in (*COMPARED, *ABLATIONS)}
    return Row(
        detector=first.detector,
        variant=first.variant,
        title=titles.get(first.variant, first.title),
        seeds=tuple(seeds),
        metrics={kind: _estimates(seeds, [result.metrics[kind] for result in results]) for kind in first.metrics},
        styles={
            style: _estimates(seeds, [result.styles.get(style, {}) for result in results]) for style in first.styles
        },
        per_category=_estimates(seeds, [result.per_category for result in results]),
    )


def _estimates(seeds: Sequence[int], metrics: Sequence[Metrics]) -> dict[str, Estimate | None]:
    estimates: dict[str, Estimate | None] = {}
    for name in metrics[0]:
        values = {seed: run.get(name) for seed, run in zip(seeds, metrics, strict=True)}
        known = {seed: value for seed, value in values.items() if value is not None}
        estimates[name] = Estimate(known) if known else None
    return estimates


def _plan_order(key: tuple[str, str]) -> tuple[int, int, str]:
    """Sort key of a detector and variant."""
    detectors = list(RECIPES)
    variants = [variant.name for variant in (*COMPARED, *ABLATIONS)]
    detector, variant = key
    return [*detectors, detector].index(detector), [*variants, variant].index(variant), variant
