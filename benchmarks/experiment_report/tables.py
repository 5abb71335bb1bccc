"""The tables of the report, as rows of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean

from benchmarks.experiment_report.results import MINILVIS
from mosaicfusion.experiment.plan import (
    ABLATIONS,
    COMPARED,
    GROUPS,
    OPEN_VOCABULARY,
    PLUS_SYNTHETIC,
    RECIPES,
)
from mosaicfusion.experiment.result import Result
from mosaicfusion.experiment.table import COLUMNS, Estimate, Row, gain, rows_of

NAMES = {"mask_rcnn": "Mask R-CNN", "centernet2": "CenterNet2", "fvlm": "F-VLM"}
TRAINING_IMAGES = ((1, 3), (4, 6), (7, 10))  # groups of rare categories, from and to


@dataclass(frozen=True)
class Table:
    """A table of texts; false if it has no rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __bool__(self) -> bool:
        return bool(self.rows)


def comparison(rows: Sequence[Row]) -> Table:
    """AP of each detector without and with synthetic data, and the gains."""
    lines = []
    for detector, variants in product(RECIPES, GROUPS):
        group = rows_of(rows, detector, variants)
        lines += [_cells(row) for row in group[:1]]
        for row in group[1:]:
            before, after = group[0].metrics["mask"], row.metrics["mask"]
            lines.append(_cells(row))
            lines.append(["", "gain", "", *(_gain(before[name], after[name]) for name in COLUMNS)])
    return Table(["detector", "training set", "seeds", *COLUMNS], lines)


def training_sets(results: Sequence[Result]) -> Table:
    """Counts of each training set; those of one variant and detector are the same for all seeds."""
    by_set = {(result.variant, result.detector in OPEN_VOCABULARY): result for result in results}
    order = [variant.name for variant in (*COMPARED, *ABLATIONS)]
    keys = sorted(by_set, key=lambda key: (key[1], order.index(key[0]) if key[0] in order else len(order)))
    columns = [f"{part}_{count}" for part in ("real", "synthetic") for count in ("images", "instances", "r")]
    lines = [
        [
            by_set[key].title + " (open vocabulary)" * key[1],
            *(f"{by_set[key].data[name]:,}" for name in columns),
            _looks(by_set[key]),
        ]
        for key in keys
    ]
    head = ["real images", "instances", "rare ones", "synthetic images", "instances", "rare ones", "looks"]
    return Table(["training set", *head], lines)


def ablations(rows: Sequence[Row]) -> Table:
    """Mask R-CNN on all variants but the longer trainings, each against ``real + synthetic``; empty without an ablation."""
    longer = {variant.name for group in GROUPS for variant in group} - {variant.name for variant in COMPARED}
    chosen = [row for row in rows if row.detector == "mask_rcnn" and row.variant not in longer]
    if not {row.variant for row in chosen} & {variant.name for variant in ABLATIONS}:
        return Table([], [])
    reference = next((row.metrics["mask"] for row in chosen if row.variant == PLUS_SYNTHETIC.name), {})
    lines = []
    for row in chosen:
        differences = [_gain(reference.get(name), row.metrics["mask"][name]) for name in ("AP", "AP_r")]
        lines.append([*_cells(row)[1:], *(["", ""] if row.variant == PLUS_SYNTHETIC.name else differences)])
    against = [f"{name} against `{PLUS_SYNTHETIC.title}`" for name in ("AP", "AP_r")]
    return Table(["training set", "seeds", *COLUMNS, *against], lines)


def object_sizes(sizes: dict[str, dict[str, float]]) -> Table:
    """Objects per image and their size, of real and synthetic images."""
    lines = [[label, f"{one['objects']:.1f}", f"{one['side_px']:.0f}"] for label, one in sizes.items()]
    return Table(["images", "objects per image", "median side of an object, px"], lines)


def gains_by_count(rows: Sequence[Row]) -> Table:
    """Gain of rare categories by their number of real images; empty without a pair of a detector that trains on them."""
    train = json.loads((MINILVIS / "train.json").read_text(encoding="utf-8"))
    images = {one["name"]: one["image_count"] for one in train["categories"] if one["frequency"] == "r"}
    groups = [[name for name, count in images.items() if low <= count <= high] for low, high in TRAINING_IMAGES]
    columns: dict[str, list[str]] = {}
    for detector in RECIPES:
        pair = rows_of(rows, detector)
        if len(pair) == 2 and detector not in OPEN_VOCABULARY:
            columns[NAMES[detector]] = [_mean_gain(pair, names) for names in groups]
    if not columns:
        return Table([], [])
    lines = [
        [f"{low} to {high}", str(len(names)), *(column[k] for column in columns.values())]
        for k, ((low, high), names) in enumerate(zip(TRAINING_IMAGES, groups, strict=True))
    ]
    return Table(["real images", "categories", *columns], lines)


def by_style(rows: Sequence[Row]) -> Table:
    """AP of each detector by drawing style, without and with synthetic data."""
    lines = []
    for detector in RECIPES:
        pair = rows_of(rows, detector)
        for style in pair[0].styles if len(pair) == 2 else []:
            ap, ap_r = ([row.styles[style].get(name) for row in pair] for name in ("AP", "AP_r"))
            lines.append([NAMES[detector], f"`{style}`", *map(_text, [*ap, *ap_r]), _gain(*ap_r)])
    head = ["AP, real alone", "AP, + synthetic", "AP_r, real alone", "AP_r, + synthetic", "gain of AP_r"]
    return Table(["detector", "style", *head], lines)


def _looks(result: Result) -> str:
    return "-" if result.looks is None else f"{result.looks:.1f}"


def _mean_gain(pair: Sequence[Row], names: Sequence[str]) -> str:
    """Mean over the categories with a validation instance, and its spread over the seeds."""
    before, after = pair
    gains = [one for name in names if (one := gain(before.per_category.get(name), after.per_category.get(name)))]
    seeds = gains[0].by_seed if gains else ()
    by_seed = {seed: mean(one.by_seed[seed] for one in gains) for seed in seeds}
    return _text(Estimate(by_seed) if by_seed else None, "+")


def _cells(row: Row) -> list[str]:
    values = [_text(row.metrics["mask"].get(name)) for name in COLUMNS]
    return [NAMES.get(row.detector, row.detector), row.title, str(len(row.seeds)), *values]


def _gain(before: Estimate | None, after: Estimate | None) -> str:
    return _text(gain(before, after), "+")


def _text(value: Estimate | None, sign: str = "") -> str:
    return "-" if value is None else value.percent(sign)
