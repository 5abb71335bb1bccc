"""Time and memory of planning, resuming, compiling and status, by the size of the run. Prints a markdown table.

    python -m benchmarks.scale_records --canvases 10000,100000,1000000 -o benchmarks/results/scale_records.json

The records are synthetic: four regions of 384 x 512 px per canvas, one in ten rejected, eight canvases per part, no images. Each
stage runs in a process of its own, which reports its CPU time and peak memory; ``import`` is the cost without records.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, peak_mib

CATEGORIES = 1000
PART = 8
GROUP = 16


def make_run(path: Path, canvases: int) -> None:
    """Make a run that repeats the records of a few canvases with other indices."""
    from mosaicfusion.categories import Category
    from mosaicfusion.config import OutputSettings
    from mosaicfusion.generation.presets import make_config
    from mosaicfusion.mosaic.plan import Plan
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.manifest import Manifest, ModelIdentity, RunCategories

    config = make_config("paper", {"model": "none"})
    categories = tuple(Category(k + 1, f"category_{k}") for k in range(CATEGORIES))
    plan = Plan(config, categories, categories, 8)
    manifest = Manifest(
        config=config,
        categories=RunCategories(main=categories, partners=categories),
        model=ModelIdentity(digest="0"),
        canvases_per_category=canvases // CATEGORIES,
        output=OutputSettings(policy="not_exhaustive"),
    )
    RunFolder.open_or_create(path, manifest)
    rng = np.random.default_rng(0)
    tails = [_record(plan, index, rng).to_line().split(",", 1)[1] for index in range(4 * GROUP)]
    (path / "parts").mkdir(exist_ok=True)
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
        common = (category.id, category.name, f"a photo of a single {category.name}", region.box_xywh)
        if rng.random() < 0.1:
            regions.append(RegionRecord(*common, reason="several_components", values={"components": 2}))
            continue
        height, width = region.hw
        down, right = rows - region.top - height / 2, columns - region.left - width / 2
        mask = (down / (0.3 * height)) ** 2 + (right / (0.3 * width)) ** 2 < 1  # an ellipse
        x, y, box_width, box_height = rle.box_xywh(mask)
        regions.append(
            RegionRecord(
                *common,
                score=0.5,
                area=rle.area(mask),
                box_xywh=(x, y, box_width, box_height),
                segmentation=dict(rle.encode(mask)),
                measures={name: float(rng.random()) for name in ("margin", "stability", "edge", "halves")},
                quality=float(rng.random()),
            )
        )
    return CanvasRecord(index, spec.canvas.hw_px, spec.noise_seed, f"images/000/{index:012d}.jpg", tuple(regions))


def plan_all(path: Path) -> None:
    """Plan the batches of an empty run, and the content of 10,000 of its canvases."""
    from mosaicfusion.generation.batches import missing_batches
    from mosaicfusion.mosaic.plan import Plan
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(path)
    categories = run.manifest.categories
    plan = Plan(run.manifest.config, categories.main, categories.partners, 8)
    for _ in missing_batches(np.zeros(run.total, bool), GROUP, PART):
        pass
    for index in range(0, run.total, max(1, run.total // 10_000)):
        plan.spec(index)


def resume(path: Path) -> None:
    """Prepare a restarted run; nothing is missing here."""
    from mosaicfusion.generation.queue import missing_queue
    from mosaicfusion.run.claims import Claims
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(path)
    with Claims(path) as claims:
        queue = missing_queue(run, claims, PART)
        assert queue.done == queue.total == run.total
        assert not list(queue)


def compile_all(path: Path) -> None:
    """Compile lvis.json, report and summary."""
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.run.folder import RunFolder

    assert build_dataset(RunFolder.open(path)).missing == 0


def status_all(path: Path) -> None:
    """Read the status, like `mosaicfusion status`."""
    from mosaicfusion.run.status import read_status

    status = read_status(path)
    assert status.done == status.total


def nothing(path: Path) -> None:
    """Only import the modules of the other stages."""
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
    costs: dict[str, float] = json.loads(output.splitlines()[-1])
    return costs


def run_stage(stage: str, path: Path) -> None:
    """Run a stage, and print its costs."""
    STAGES[stage](path)
    print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak_mib() * 2**20 / 1e6}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canvases", default="10000,100000", help=f"comma-separated multiples of {CATEGORIES}")
    parser.add_argument("-o", "--out", type=Path, help="JSON of all results")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage[0], Path(options.stage[1]))
        return
    counts = [int(count) for count in options.canvases.split(",")]
    costs: dict[str, dict[str, dict[str, float]]] = {stage: {} for stage in STAGES}
    result = {"machine": machine(), "date": str(datetime.date.today()), "stages": costs}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            make_run(run, count)
            for stage, cells in costs.items():
                cells[str(count)] = measure(stage, run)
                if options.out:
                    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['machine']}; {result['date']}\n")
    print("| stage | " + " | ".join(f"{count:,} canvases: CPU | peak memory" for count in counts) + " |")
    print("|---|" + "---|---|" * len(counts))
    for stage, cells in costs.items():
        texts = (f"{cell['cpu_s']:.1f} s | {cell['peak_mb']:.0f} MB" for cell in cells.values())
        print(f"| {stage} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    main()
