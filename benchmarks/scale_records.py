"""How do time and memory of planning, resuming, compiling and status grow with the run? Prints a markdown table.

    python -m benchmarks.scale_records --canvases 10000,100000,1000000 -o benchmarks/results/scale_records.json

The records are made up: four regions of 384 x 512 px a canvas, one in ten rejected, eight canvases a part, no images. Each stage
runs in a process of its own, which reports its CPU time and its peak memory; ``import`` is what a stage costs with no records.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine

CATEGORIES = 1000
PART = 8
GROUP = 16


def make_run(path: Path, canvases: int) -> None:
    """A run whose records are those of a few canvases again and again, under other numbers."""
    from mosaicfusion.categories import Category
    from mosaicfusion.generation.presets import make_config
    from mosaicfusion.mosaic.plan import Plan
    from mosaicfusion.run.folder import RunFolder

    config = make_config("paper", {"model": "none"})
    categories = [Category(k + 1, f"category_{k}") for k in range(CATEGORIES)]
    plan = Plan(config, categories, categories, 8)
    named = [category.to_json() for category in categories]
    RunFolder.create(
        path,
        {
            "config": config.model_dump(mode="json"),
            "categories": {"main": named, "partners": named},
            "model": {"digest": "0"},
            "canvases_per_category": canvases // CATEGORIES,
            "versions": {},
            "output": {"policy": "not_exhaustive"},
        },
    )
    rng = np.random.default_rng(0)
    tails = [_record(plan, index, rng).to_line().split(",", 1)[1] for index in range(4 * GROUP)]
    (path / "parts").mkdir()
    for first in range(0, canvases, PART):
        lines = (f'{{"index":{index},{tails[index % len(tails)]}\n' for index in range(first, first + PART))
        (path / "parts" / f"part-{first:08d}.jsonl").write_text("".join(lines))


def _record(plan: Any, index: int, rng: np.random.Generator) -> Any:
    from mosaicfusion.masks import rle
    from mosaicfusion.run.records import CanvasRecord, RegionRecord

    spec = plan.spec(index)
    rows, columns = np.mgrid[: spec.canvas.hw_px[0], : spec.canvas.hw_px[1]]
    regions = []
    for region, category in zip(spec.canvas.regions, spec.categories, strict=True):
        asked = (category.id, category.name, f"a photo of a single {category.name}", region.box_xywh)
        if rng.random() < 0.1:
            regions.append(RegionRecord(*asked, reason="several_components", values={"components": 2}))
            continue
        height, width = region.hw
        down, right = rows - region.top - height / 2, columns - region.left - width / 2
        mask = (down / (0.3 * height)) ** 2 + (right / (0.3 * width)) ** 2 < 1  # an ellipse
        regions.append(
            RegionRecord(
                *asked,
                score=0.5,
                area=rle.area(mask),
                box_xywh=rle.box_xywh(mask),
                segmentation=dict(rle.encode(mask)),
                measures={name: float(rng.random()) for name in ("margin", "stability", "edge", "halves")},
                quality=float(rng.random()),
            )
        )
    return CanvasRecord(index, spec.canvas.hw_px, spec.noise_seed, f"images/000/{index:012d}.jpg", tuple(regions))


def plan_all(path: Path) -> None:
    """Batches of a run of which nothing is drawn, and the content of 10,000 canvases, spread over it."""
    from mosaicfusion.categories import Category
    from mosaicfusion.config import parse_config
    from mosaicfusion.generation.batches import missing_parts
    from mosaicfusion.mosaic.plan import Plan
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(path)
    categories = [Category.from_json(category) for category in run.header["categories"]["main"]]
    plan = Plan(parse_config(run.header["config"]), categories, categories, 8)
    for _ in missing_parts((), run.total, GROUP, PART):
        pass
    for index in range(0, run.total, max(1, run.total // 10_000)):
        plan.spec(index)


def resume(path: Path) -> None:
    """What a restarted run does before it draws: here, nothing is missing."""
    from mosaicfusion.generation.engine import missing_batches
    from mosaicfusion.run.claims import Claims
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(path)
    with Claims(path) as claims:
        work = missing_batches(run, claims, PART)
        assert work.done == work.total == run.total
        assert not list(work)


def compile_all(path: Path) -> None:
    """lvis.json, report and summary."""
    from mosaicfusion.generation.build_dataset import compile_run
    from mosaicfusion.run.folder import RunFolder

    assert compile_run(RunFolder.open(path)).missing == 0


def status_all(path: Path) -> None:
    """`mosaicfusion status`."""
    from mosaicfusion.run.status import read_status

    status = read_status(path)
    assert status.done == status.total


def nothing(path: Path) -> None:
    """The imports of the other stages."""
    import mosaicfusion.generation.build_dataset
    import mosaicfusion.generation.engine
    import mosaicfusion.run.status  # noqa: F401


STAGES: dict[str, Callable[[Path], None]] = {
    "import": nothing,
    "plan": plan_all,
    "resume": resume,
    "compile and report": compile_all,
    "status": status_all,
}


def measure(stage: str, path: Path) -> dict[str, float]:
    """CPU seconds and peak memory in MB of a stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale_records", "--stage", stage, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def run_stage(stage: str, path: Path) -> None:
    STAGES[stage](path)
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # since this program began
    print(json.dumps({"cpu_s": time.process_time(), "peak_mb": int(peak_kb) * 1024 / 1e6}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canvases", default="10000,100000", help=f"by commas, multiples of {CATEGORIES}")
    parser.add_argument("-o", "--out", type=Path, help="JSON of all figures")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage[0], Path(options.stage[1]))
        return
    counts = [int(count) for count in options.canvases.split(",")]
    figures: dict[str, dict[str, dict[str, float]]] = {stage: {} for stage in STAGES}
    result = {"machine": machine(), "date": str(datetime.date.today()), "stages": figures}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            make_run(run, count)
            for stage, cells in figures.items():
                cells[str(count)] = measure(stage, run)
                if options.out:
                    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['machine']}; {result['date']}\n")
    print("| stage | " + " | ".join(f"{count:,} canvases: CPU | peak memory" for count in counts) + " |")
    print("|---|" + "---|---|" * len(counts))
    for stage, cells in figures.items():
        figures_shown = (f"{cell['cpu_s']:.1f} s | {cell['peak_mb']:.0f} MB" for cell in cells.values())
        print(f"| {stage} | " + " | ".join(figures_shown) + " |")


if __name__ == "__main__":
    main()
