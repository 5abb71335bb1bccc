"""docs/results.md and its figure, out of the results of `mosaicfusion experiment minilvis`.

    python -m benchmarks.experiment_report --collect exp    # copy what is new of an experiment to benchmarks/results/minilvis
    python -m benchmarks.experiment_report                  # write docs/results.md and docs/images/results.png

Figures come from the json files alone; the text between them, where there is any to say, from ``FINDINGS``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median

from benchmarks.machine import machine
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import (
    ABLATIONS,
    BASELINE,
    LONGER,
    OPEN_VOCABULARY,
    PAIRS,
    PLUS_SYNTHETIC,
    RECIPES,
    SYNTHETIC_LONGER,
    make_plan,
)
from mosaicfusion.experiment.result import RESULT, Result, read_result
from mosaicfusion.experiment.table import COLUMNS, Estimate, Row, gain, make_rows, pair_of

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, FIGURE = ROOT / "benchmarks/results/minilvis", ROOT / "docs/results.md", ROOT / "docs/images/results.png"
ABOUT, SIZES = "about.json", "sizes.json"
DRAWINGS = {"N = 1": ("one-rare", "one-any"), "N = 2": ("two-rare", "two-any"), "N = 4": ("four",)}
NAMES = {"mask_rcnn": "Mask R-CNN", "centernet2": "CenterNet2", "fvlm": "F-VLM"}

# What the figures say, kept by hand: a paragraph or more below the table of that name.
FINDINGS = {
    "comparison": (
        "Drawn data lifts the rare categories of Mask R-CNN and CenterNet2 by five to six points, with every seed. AP over all "
        "categories stays within its spread, because frequent ones lose: a training has the same number of steps, a third of "
        "what it sees is drawn, and each real picture is shown a third less often.\n\n"
        "These trainings are short, and half as many steps again gain as much for rare categories as drawn data does, and far "
        "more for the others. The two add up: at 1.5 times the steps drawn data still gains six points of AP_r, and costs "
        "frequent categories four. With them each real picture is then seen as often as without drawn data in the shorter "
        "training, and against that frequent categories lose nothing: what they lose at equal steps is looks. This pair has one "
        "seed.\n\n"
        "F-VLM gains one point of novel AP, with every seed. Two thirds of a novel category's score are CLIP's, which training "
        "leaves as it is, and the bundled CLIP names one in five of MiniLVIS' objects where F-VLM reads them "
        "([figures](miniature.md#its-clip)). No CLIP of the web was tried."
    ),
    "ablations": (
        "- **Real or drawn.** Drawn data alone finds rare categories as well as the real set alone, and the others far worse: "
        "it shows few of them. Together they find more rare objects than either.\n"
        "- **How many.** Two canvases a category bring most of the gain of ten. What more brings is within the noise.\n"
        "- **Mosaics.** Single objects (N = 1) harm: rare categories fall below the real set alone; with two regions they gain "
        "nothing. For N = 1 it is not only the lack of looks, as the control with 1.8 times the steps shows. Its pictures are "
        "small and filled by their object: at the detector's size that is three times as large as real ones (see the table "
        "below), and alone. So the detector learns sizes and numbers that the validation images do not have.\n"
        "- **Copy-Paste** alone lifts rare categories by two points and costs nothing, drawn data lifts them by five. Both "
        "together are no better than drawn data alone.\n"
        "- **Rejected regions** may stay, marked as not exhaustive, and **masks** may go unrefined: neither differs by more than "
        "the noise. Refined masks fit the drawn objects better ([figures](miniature.md)); a detector's masks of 28 x 28 may "
        "be too coarse to gain by it."
    ),
    "counts": "The fewer real pictures a category has, the more drawn ones help.",
    "styles": (
        "The gain reaches as far as the look of what is drawn: largest in the style that the model draws, good in flat drawings "
        "of much the same shapes (`fluent-flat`, `twemoji`), little or none where shapes differ (`noto`, `noto-v1`). That "
        "is the domain gap of this experiment."
    ),
}

TRAINING_IMAGES = ((1, 3), (4, 6), (7, 10))  # of rare categories, from and to


@dataclass(frozen=True)
class About:
    """How the results came about, as the one who collected them says."""

    command: str
    machine: str


def collect(experiment: Path, command: str) -> int:
    """Copy the results of an experiment's runs; returns their number."""
    files = sorted(experiment.glob(f"runs/*/{RESULT}"))
    if not files:
        raise MosaicFusionError(
            f"{experiment} has no runs/*/{RESULT}; give the --out of `mosaicfusion experiment minilvis`"
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    for file in files:
        read_result(file)
        (RESULTS / f"{file.parent.name}.json").write_bytes(file.read_bytes())
    (RESULTS / SIZES).write_text(json.dumps(object_sizes(experiment), indent=1) + "\n", encoding="utf-8")
    about = {"command": command, "machine": machine("all used")}
    (RESULTS / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return len(files)


def object_sizes(experiment: Path) -> dict[str, dict[str, float]]:
    """Of real and drawn images: objects an image, and the median side of their boxes at the size that Mask R-CNN tests with."""
    files = {"real": [ROOT / "datasets/minilvis/train.json"]}
    files |= {
        label: found
        for label, names in DRAWINGS.items()
        if len(found := [file for name in names if (file := experiment / f"drawn/{name}/lvis.json").exists()])
        == len(names)
    }
    return {label: _sizes_in(of_label) for label, of_label in files.items()}


def _sizes_in(files: Sequence[Path]) -> dict[str, float]:
    data, images, sides_px = load_recipe(RECIPES["mask_rcnn"]).data, 0, []
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        hw = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        images += len({row["image_id"] for row in content["annotations"]})
        for row in content["annotations"]:
            sides = hw[row["image_id"]]
            scale = min(data.test_side_px / min(sides), data.max_side_px / max(sides))
            sides_px.append(scale * math.sqrt(row["bbox"][2] * row["bbox"][3]))
    return {"objects": round(len(sides_px) / images, 1), "side_px": round(median(sides_px))}


def read_all(folder: Path = RESULTS) -> tuple[list[Result], About]:
    """What was collected; raises :class:`MosaicFusionError` if there is nothing, or if runs of two scales are mixed."""
    results = [read_result(file) for file in sorted(folder.glob("*.json")) if file.name not in (ABOUT, SIZES)]
    if not results:
        raise MosaicFusionError(
            f"{folder} has no results; run `mosaicfusion experiment minilvis -o exp`, then --collect exp"
        )
    if len({json.dumps(result.scale) for result in results}) > 1:
        raise MosaicFusionError(f"{folder} mixes runs of different --scale or --quick; keep those of one")
    return results, About(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def render(results: Sequence[Result], about: About) -> str:
    """The page."""
    rows = make_rows(results)
    dates = sorted({result.date for result in results})
    versions = ", ".join(f"{name} {number}" for name, number in sorted(results[0].versions.items()))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    shares = [result.cost["data_share"] for result in results]
    cpu = [result.cost["train_cpu_s"] + result.cost["evaluate_cpu_s"] for result in results]
    parts = [
        "# Results on MiniLVIS",
        "Does drawn data lift rare categories? Written by `benchmarks/experiment_report.py` from "
        "`benchmarks/results/minilvis/`; a test holds it to them.",
        f"`{about.command}`, {when}, {about.machine}; {versions}. A run took {median(cpu) / 60:.0f} minutes of CPU "
        f"time with its evaluation (median); {max(shares):.1%} of the training time at most went into waiting for images.",
        "Values are AP in percent on the validation images, mean ± sample standard deviation over seeds; one seed has no "
        "spread. A gain is the mean of the differences between the runs of one seed. "
        "MiniLVIS is a world of drawings: see the limits in [its README](../datasets/minilvis/README.md).",
        _missing(results),
        "![AP of rare categories, and its gain by style](images/results.png)",
        "## Without and with drawn data",
        _comparison(rows),
        FINDINGS["comparison"],
        "F-VLM is open-vocabulary: rare categories are novel, their real annotations are removed, and its AP_r is AP_novel.",
        "## Training sets",
        _training_sets(results),
    ]
    ablations = [row for row in rows if row.variant in {variant.name for variant in ABLATIONS}]
    if ablations:
        parts += [
            "## What matters",
            "Mask R-CNN. `real + drawn` is 10 canvases a rare category of N = 4 regions, canvases with a rejected region "
            "dropped, masks refined; the others change one thing each. N = 1 and N = 2 have the same number of instances. "
            "The last columns compare runs of the same seeds; with one seed, what lies within the spread of the gain above "
            "is noise.",
            _ablations(rows),
            FINDINGS["ablations"],
            _sizes(),
        ]
    counts = _gains_by_count(rows)
    if counts:
        parts += [
            "## By number of real images",
            "Gain of mask AP of rare categories, by the number of real training images that show them:",
            counts,
            FINDINGS["counts"],
        ]
    parts += [
        "## By style",
        "The model that draws knows one style of the five, `fluent-3d`. Mask AP of the objects of each style (those of other "
        "styles are ignored; false finds count in all, so compare columns, not rows):",
        _styles(rows),
        FINDINGS["styles"],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _missing(results: Sequence[Result]) -> str:
    done, plan = {result.run for result in results}, make_plan()
    missing = [f"`{run.name}`" for run in plan if run.name not in done]
    return f"{len(missing)} of the {len(plan)} runs are still to be done: {', '.join(missing)}." if missing else ""


def _comparison(rows: Sequence[Row]) -> str:
    lines = []
    for detector, variants in product(RECIPES, PAIRS):
        pair = pair_of(rows, detector, variants)
        lines += [_cells(row) for row in pair]
        if len(pair) == 2:
            lines.append(["", "gain", "", *(_gain(*(row.metrics["mask"][name] for row in pair)) for name in COLUMNS)])
    return _table(["detector", "training set", "seeds", *COLUMNS], lines)


def _ablations(rows: Sequence[Row]) -> str:
    longer = [variant.name for variant in (LONGER, SYNTHETIC_LONGER)]  # in the comparison
    of_detector = [row for row in rows if row.detector == "mask_rcnn" and row.variant not in longer]
    usual = next((row.metrics["mask"] for row in of_detector if row.variant == PLUS_SYNTHETIC.name), {})
    lines = [
        [
            *_cells(row)[1:],
            *(
                "" if row.variant == PLUS_SYNTHETIC.name else _gain(usual.get(name), row.metrics["mask"][name])
                for name in ("AP", "AP_r")
            ),
        ]
        for row in of_detector
    ]
    return _table(
        ["training set", "seeds", *COLUMNS, *(f"{name} against `real + drawn`" for name in ("AP", "AP_r"))], lines
    )


def _training_sets(results: Sequence[Result]) -> str:
    """One line for each training set; those of one variant and detector are the same for all seeds."""
    held = {(result.variant, result.detector == "fvlm"): result for result in results}
    order = [variant.name for variant in (BASELINE, PLUS_SYNTHETIC, *ABLATIONS)]
    keys = sorted(held, key=lambda key: (key[1], order.index(key[0]) if key[0] in order else len(order)))
    columns = ("real_images", "real_instances", "real_r", "drawn_images", "drawn_instances", "drawn_r")
    lines = [
        [held[key].title + " (open vocabulary)" * key[1], *(f"{held[key].data[name]:,}" for name in columns)]
        for key in keys
    ]
    return _table(
        ["training set", "real images", "instances", "rare ones", "drawn images", "instances", "rare ones"], lines
    )


def _sizes() -> str:
    sizes = json.loads((RESULTS / SIZES).read_text(encoding="utf-8")) if (RESULTS / SIZES).exists() else {}
    lines = [[label, f"{found['objects']:.1f}", f"{found['side_px']:.0f}"] for label, found in sizes.items()]
    return _table(["images", "objects an image", "median side of an object, px"], lines) if lines else ""


def _gains_by_count(rows: Sequence[Row]) -> str:
    """Empty unless a detector that learns from rare annotations was trained without and with drawn data."""
    train = json.loads((ROOT / "datasets/minilvis/train.json").read_text(encoding="utf-8"))
    images = {one["name"]: one["image_count"] for one in train["categories"] if one["frequency"] == "r"}
    groups = [[name for name, count in images.items() if low <= count <= high] for low, high in TRAINING_IMAGES]
    columns: dict[str, list[str]] = {}
    for detector in RECIPES:
        pair = pair_of(rows, detector)
        if len(pair) == 2 and detector not in OPEN_VOCABULARY:
            columns[NAMES[detector]] = [_mean_gain(pair, names) for names in groups]
    lines = [
        [f"{low} to {high}", str(len(names)), *(column[k] for column in columns.values())]
        for k, ((low, high), names) in enumerate(zip(TRAINING_IMAGES, groups, strict=True))
    ]
    return _table(["real images", "categories", *columns], lines) if columns else ""


def _mean_gain(pair: Sequence[Row], names: Sequence[str]) -> str:
    """Over the categories that have a validation instance; its spread over the seeds."""
    gains = [found for name in names if (found := gain(*(row.per_category.get(name) for row in pair)))]
    seeds = gains[0].by_seed if gains else ()
    by_seed = {seed: mean(one.by_seed[seed] for one in gains) for seed in seeds}
    return _text(Estimate(by_seed) if by_seed else None, "+")


def _styles(rows: Sequence[Row]) -> str:
    lines = []
    for detector in RECIPES:
        pair = pair_of(rows, detector)
        for style in pair[0].styles if len(pair) == 2 else []:
            ap, ap_r = ([row.styles[style].get(name) for row in pair] for name in ("AP", "AP_r"))
            lines.append([NAMES[detector], f"`{style}`", *map(_text, [*ap, *ap_r]), _gain(*ap_r)])
    head = ["detector", "style", "AP, real alone", "AP, + drawn", "AP_r, real alone", "AP_r, + drawn", "gain of AP_r"]
    return _table(head, lines)


def _gain(before: Estimate | None, after: Estimate | None) -> str:
    return _text(gain(before, after), "+")


def _cells(row: Row) -> list[str]:
    values = [_text(row.metrics["mask"].get(name)) for name in COLUMNS]
    return [NAMES.get(row.detector, row.detector), row.title, str(len(row.seeds)), *values]


def _text(value: Estimate | None, sign: str = "") -> str:
    return "-" if value is None else value.percent(sign)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Two panels: AP_r of each detector, and the gain of AP_r by style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    pairs = {detector: pair for detector in RECIPES if len(pair := pair_of(rows, detector)) == 2}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for k, (label, colour) in enumerate((("real alone", "#9aa5b1"), ("real + drawn", "#2b6cb0"))):
        found = [pair[k].metrics["mask"]["AP_r"] or Estimate({0: 0.0}) for pair in pairs.values()]
        places = [place + 0.38 * k for place in range(len(pairs))]
        spreads = [100 * (one.spread or 0) for one in found]
        left.bar(places, [100 * one.mean for one in found], 0.36, yerr=spreads, capsize=3, label=label, color=colour)
    left.set_xticks([place + 0.19 for place in range(len(pairs))], [NAMES[detector] for detector in pairs])
    left.set_ylabel("mask AP of rare categories, %")
    left.legend(frameon=False)
    width = 0.8 / max(1, len(pairs))
    for k, (detector, pair) in enumerate(pairs.items()):
        gains = {
            style: gain(*(row.styles[style].get("AP_r") for row in pair)) or Estimate({0: 0.0})
            for style in pair[0].styles
        }
        right.bar(
            [place + width * k for place in range(len(gains))],
            [100 * one.mean for one in gains.values()],
            width,
            yerr=[100 * (one.spread or 0) for one in gains.values()],
            capsize=2,
            label=NAMES[detector],
        )
        right.set_xticks([place + 0.8 / 2 - width / 2 for place in range(len(gains))], list(gains))
    right.axhline(0, color="black", linewidth=0.8)
    right.set_ylabel("gain of AP of rare categories")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collect", type=Path, metavar="EXP", help="folder of an experiment")
    parser.add_argument("--command", default="mosaicfusion experiment minilvis", help="how it was started")
    options = parser.parse_args()
    try:
        if options.collect:
            print(f"{collect(options.collect, options.command)} results in {RESULTS}")
            return
        results, about = read_all()
        PAGE.write_text(render(results, about), encoding="utf-8")
        draw(make_rows(results), FIGURE)
        print(f"written: {PAGE} and {FIGURE}")
    except MosaicFusionError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
