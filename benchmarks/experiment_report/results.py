"""Collecting and reading the results of an experiment."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.machine import machine
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import RECIPES
from mosaicfusion.experiment.result import RESULT, Result, read_result

ROOT = Path(__file__).parent.parent.parent
RESULTS, MINILVIS = ROOT / "benchmarks/results/minilvis", ROOT / "datasets/minilvis"
ABOUT, SIZES = "about.json", "sizes.json"
SOURCES = {
    "N = 1": ("one-rare", "one-any"),
    "N = 2": ("two-rare", "two-any"),
    "N = 4": ("four",),
    "N = 16": ("sixteen",),
    "scenes": ("scenes",),
    "scenes by tiles": ("tiled-scenes",),
    "dense scenes": ("dense-scenes",),
    "scenes from real objects": ("own-scenes",),
}


@dataclass(frozen=True)
class About:
    """Command and machine of the experiment, as given to ``--collect``."""

    command: str
    machine: str


def collect(experiment: Path, command: str, folder: Path = RESULTS) -> int:
    """Copy the results of an experiment's runs to ``folder``, beside those of others that are there; return their number."""
    files = sorted(experiment.glob(f"runs/*/{RESULT}"))
    if not files:
        raise MosaicFusionError(
            f"{experiment} has no runs/*/{RESULT}; give the --out of `mosaicfusion experiment minilvis`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        read_result(file)
        (folder / f"{file.parent.name}.json").write_bytes(file.read_bytes())
    _write_json(folder / SIZES, read_sizes(folder) | object_sizes(experiment))
    _write_json(folder / ABOUT, {"command": command, "machine": machine("all used")})
    return len(files)


def object_sizes(experiment: Path) -> dict[str, dict[str, float]]:
    """Objects per image and median side of their boxes, in px at Mask R-CNN's test size, of real and synthetic images."""
    files = {"real": [MINILVIS / "train.json"]}
    for label, names in SOURCES.items():
        jsons = [experiment / f"synthetic/{name}/lvis.json" for name in names]
        if all(path.exists() for path in jsons):
            files[label] = jsons
    return {label: _measure(paths) for label, paths in files.items()}


def read_all(folder: Path = RESULTS) -> tuple[list[Result], About]:
    """Read the collected results; raises :class:`MosaicFusionError` if there are none, or if their scales differ."""
    results = [read_result(file) for file in sorted(folder.glob("*.json")) if file.name not in (ABOUT, SIZES)]
    if not results:
        raise MosaicFusionError(
            f"{folder} has no results; run `mosaicfusion experiment minilvis -o exp`, then --collect exp"
        )
    if len({json.dumps(result.scale) for result in results}) > 1:
        raise MosaicFusionError(f"{folder} mixes runs of different --scale or --quick; keep those of one")
    return results, About(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def read_sizes(folder: Path = RESULTS) -> dict[str, dict[str, float]]:
    """The result of :func:`object_sizes` at the time of the collection; empty if there is none."""
    path = folder / SIZES
    sizes: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return sizes


def _measure(files: Sequence[Path]) -> dict[str, float]:
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


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
