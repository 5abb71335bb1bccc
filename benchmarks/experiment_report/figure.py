"""The figure docs/images/results.png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.experiment_report.results import ROOT
from benchmarks.experiment_report.tables import NAMES
from mosaicfusion.experiment.plan import RECIPES
from mosaicfusion.experiment.table import Estimate, Row, gain, rows_of

FIGURE = ROOT / "docs/images/results.png"
_NONE = Estimate({0: 0.0})


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plot two panels: AP_r of each detector, and the gain of AP_r by style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    pairs = {detector: pair for detector in RECIPES if len(pair := rows_of(rows, detector)) == 2}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    _plot_detectors(left, pairs)
    _plot_styles(right, pairs)
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_detectors(axes: Any, pairs: dict[str, list[Row]]) -> None:
    for k, (label, colour) in enumerate((("real alone", "#9aa5b1"), ("real + synthetic", "#2b6cb0"))):
        values = [pair[k].metrics["mask"]["AP_r"] or _NONE for pair in pairs.values()]
        _plot_bars(axes, [x + 0.38 * k for x in range(len(pairs))], values, 0.36, capsize=3, label=label, color=colour)
    axes.set_xticks([x + 0.19 for x in range(len(pairs))], [NAMES[detector] for detector in pairs])
    axes.set_ylabel("mask AP of rare categories, %")


def _plot_styles(axes: Any, pairs: dict[str, list[Row]]) -> None:
    width = 0.8 / max(1, len(pairs))
    for k, (detector, (before, after)) in enumerate(pairs.items()):
        gains = {
            style: gain(before.styles[style].get("AP_r"), after.styles[style].get("AP_r")) or _NONE
            for style in before.styles
        }
        xs = [x + width * k for x in range(len(gains))]
        _plot_bars(axes, xs, list(gains.values()), width, capsize=2, label=NAMES[detector])
        axes.set_xticks([x + 0.8 / 2 - width / 2 for x in range(len(gains))], list(gains))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("gain of AP of rare categories")


def _plot_bars(axes: Any, xs: Sequence[float], values: Sequence[Estimate], width: float, **style: Any) -> None:
    """Bars in percent, with the spread as error bars."""
    spreads = [100 * (one.spread or 0) for one in values]
    axes.bar(xs, [100 * one.mean for one in values], width, yerr=spreads, **style)
