"""From results of single runs to means and spreads over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from mosaicfusion.experiment.plan import ABLATIONS, BASELINE, PLUS_DRAWN, RECIPES
from mosaicfusion.experiment.result import Metrics, Result

COLUMNS = ("AP", "AP_r", "AP_c", "AP_f")


@dataclass(frozen=True)
class Estimate:
    """One or more values, of a seed each."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of all values."""
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """The sample's standard deviation, None of a single value."""
        return stdev(self.values) if len(self.values) > 1 else None

    def percent(self, sign: str = "") -> str:
        """``12.3 ± 0.4``, or ``12.3`` of a single value; with ``sign="+"`` as ``+12.3``."""
        return f"{100 * self.mean:{sign}.1f}" + ("" if self.spread is None else f" ± {100 * self.spread:.1f}")


@dataclass(frozen=True)
class Row:
    """A detector on one variant of the data. ``seeds``: rising; those of the values of every estimate.

    ``metrics``: by kind and name, as mask and AP_r; ``styles``: of masks, by style.
    """

    detector: str
    variant: str
    title: str
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, Estimate | None]]
    styles: dict[str, dict[str, Estimate | None]]


def make_rows(results: Iterable[Result]) -> list[Row]:
    """One row a detector and variant, in the order of the plan; what the plan does not know comes last."""
    grouped: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        grouped[result.detector, result.variant].append(result)
    return [_row(sorted(grouped[key], key=lambda result: result.seed)) for key in sorted(grouped, key=_place)]


def pair_of(rows: Iterable[Row], detector: str) -> list[Row]:
    """The detector on real data alone and on real and drawn data, as far as they were run."""
    return [row for row in rows if row.detector == detector and row.variant in (BASELINE.name, PLUS_DRAWN.name)]


def gain(pair: Sequence[Row], name: str, style: str | None = None) -> Estimate | None:
    """Of mask AP, in [-1, 1]: the differences of the runs of one seed, which share first weights and random numbers."""
    before, after = (
        _by_seed(row, (row.metrics["mask"] if style is None else row.styles[style]).get(name)) for row in pair
    )
    seeds = sorted(before.keys() & after.keys())
    return Estimate(tuple(after[seed] - before[seed] for seed in seeds)) if seeds else None


def _by_seed(row: Row, found: Estimate | None) -> dict[int, float]:
    return {} if found is None else dict(zip(row.seeds, found.values, strict=True))


def _row(results: Sequence[Result]) -> Row:
    first = results[0]
    return Row(
        detector=first.detector,
        variant=first.variant,
        title=first.title,
        seeds=tuple(result.seed for result in results),
        metrics={kind: _estimates([result.metrics[kind] for result in results]) for kind in first.metrics},
        styles={style: _estimates([result.styles.get(style, {}) for result in results]) for style in first.styles},
    )


def _estimates(of_runs: Sequence[Metrics]) -> dict[str, Estimate | None]:
    values = {name: [value for run in of_runs if (value := run.get(name)) is not None] for name in of_runs[0]}
    return {name: Estimate(tuple(known)) if known else None for name, known in values.items()}


def _place(key: tuple[str, str]) -> tuple[int, int, str]:
    detectors = list(RECIPES)
    variants = [variant.name for variant in (BASELINE, PLUS_DRAWN, *ABLATIONS)]
    detector, variant = key
    places = ([*names, name].index(name) for names, name in ((detectors, detector), (variants, variant)))
    return (*places, variant)  # type: ignore[return-value]
