"""From results of single runs to means and spreads over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from mosaicfusion.experiment.plan import ABLATIONS, BASELINE, PLUS_SYNTHETIC, RECIPES, Variant
from mosaicfusion.experiment.result import Metrics, Result

COLUMNS = ("AP", "AP_r", "AP_c", "AP_f")


@dataclass(frozen=True)
class Estimate:
    """One or more values, by seed."""

    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        """Of all values."""
        return mean(self.by_seed.values())

    @property
    def spread(self) -> float | None:
        """The sample's standard deviation, None of a single value."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def percent(self, sign: str = "") -> str:
        """``12.3 ± 0.4``, or ``12.3`` of a single value; with ``sign="+"`` as ``+12.3``."""
        return f"{100 * self.mean:{sign}.1f}" + ("" if self.spread is None else f" ± {100 * self.spread:.1f}")


@dataclass(frozen=True)
class Row:
    """A detector on one variant of the data.

    ``metrics``: by kind and name, as mask and AP_r; ``styles``: of masks, by style; ``per_category``: AP of masks. None where
    there is nothing to measure.
    """

    detector: str
    variant: str
    title: str
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, Estimate | None]]
    styles: dict[str, dict[str, Estimate | None]]
    per_category: dict[str, Estimate | None]


def make_rows(results: Iterable[Result]) -> list[Row]:
    """One row a detector and variant, in the order of the plan; what the plan does not know comes last."""
    grouped: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        grouped[result.detector, result.variant].append(result)
    return [_row(sorted(grouped[key], key=lambda result: result.seed)) for key in sorted(grouped, key=_place)]


def pair_of(rows: Iterable[Row], detector: str, variants: Sequence[Variant] = (BASELINE, PLUS_SYNTHETIC)) -> list[Row]:
    """The detector on these variants, which are without and with drawn data, as far as they were run."""
    names = [variant.name for variant in variants]
    return [row for row in rows if row.detector == detector and row.variant in names]


def gain(before: Estimate | None, after: Estimate | None) -> Estimate | None:
    """The differences of the runs of one seed, which share first weights and random numbers; None without one."""
    if before is None or after is None:
        return None
    seeds = sorted(before.by_seed.keys() & after.by_seed.keys())
    return Estimate({seed: after.by_seed[seed] - before.by_seed[seed] for seed in seeds}) if seeds else None


def _row(results: Sequence[Result]) -> Row:
    first, seeds = results[0], [result.seed for result in results]
    return Row(
        detector=first.detector,
        variant=first.variant,
        title=first.title,
        seeds=tuple(seeds),
        metrics={kind: _estimates(seeds, [result.metrics[kind] for result in results]) for kind in first.metrics},
        styles={
            style: _estimates(seeds, [result.styles.get(style, {}) for result in results]) for style in first.styles
        },
        per_category=_estimates(seeds, [result.per_category for result in results]),
    )


def _estimates(seeds: Sequence[int], of_runs: Sequence[Metrics]) -> dict[str, Estimate | None]:
    estimates: dict[str, Estimate | None] = {}
    for name in of_runs[0]:
        values = {seed: run.get(name) for seed, run in zip(seeds, of_runs, strict=True)}
        known = {seed: value for seed, value in values.items() if value is not None}
        estimates[name] = Estimate(known) if known else None
    return estimates


def _place(key: tuple[str, str]) -> tuple[int, int, str]:
    detectors = list(RECIPES)
    variants = [variant.name for variant in (BASELINE, PLUS_SYNTHETIC, *ABLATIONS)]
    detector, variant = key
    places = ([*names, name].index(name) for names, name in ((detectors, detector), (variants, variant)))
    return (*places, variant)  # type: ignore[return-value]
