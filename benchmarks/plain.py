"""What the mosaic and its masks cost: `generate` against plain diffusers sampling of as many pixels without masks.

    python -m benchmarks.plain --json benchmarks/results/plain.json

Same weights, scheduler, steps and guidance, eight regions a U-Net call, in turns in one process, without the time to load the
model. Plain: the diffusers pipeline draws single pictures of a region's size and nothing is written. Ours: canvases of 2 x 2
regions with masks, records and JPEG files in a run folder. Overlaps are sampled twice; the second row of ours has them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.mini_model.common import parser, write_results
from mosaicfusion import generate, make_config, vocabulary_for
from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.registry import load_backend
from mosaicfusion.models.hub import find_model
from mosaicfusion.profiling import profiled

BATCH = 8
NOT_SAMPLING = ("load the model", "compile")
LAYOUTS = {"ours, no overlap": {"overlap_xy_px": (0, 0), "centre": 0.5}, "ours, as by default": {}}


def plain(pipeline: str, config: RunConfig, canvases: int) -> float:
    """Seconds for four pictures a canvas."""
    backend = load_backend(find_model(pipeline), "cpu", "float32")
    drawn = backend.pipeline  # type: ignore[attr-defined]
    drawn.scheduler = backend.scheduler(config.sampling.scheduler, config.sampling.steps)
    drawn.set_progress_bar_config(disable=True)
    height, width = config.layout.region_hw_px
    names = [category.name for category in vocabulary_for("mini")]
    prompts = [f"a photo of a single {names[k % len(names)]} on green grass" for k in range(4 * canvases)]
    begun = time.perf_counter()
    for start in range(0, len(prompts), BATCH):
        drawn(
            prompts[start : start + BATCH],
            height=height,
            width=width,
            num_inference_steps=config.sampling.steps,
            guidance_scale=config.sampling.guidance,
        )
    return time.perf_counter() - begun


def ours(pipeline: str, config: RunConfig, canvases: int) -> float:
    """Seconds of `generate` without those to load the model and to compile the data set."""
    categories = [category.name for category in list(vocabulary_for("mini"))[:canvases]]
    with tempfile.TemporaryDirectory() as folder, profiled() as profile:
        settings = config.model_copy(update={"model": pipeline})
        generate(categories, out=Path(folder) / "run", canvases_per_category=1, config=settings, batch_size=BATCH)
    return profile.seconds - sum(total.seconds for total in profile.totals() if total.name in NOT_SAMPLING)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--canvases", type=int, default=16, help="a multiple of eight")
    arguments.add_argument("--turns", type=int, default=3)
    given = arguments.parse_args()
    ways = {"plain diffusers": lambda: plain(given.pipeline, make_config("mini"), given.canvases)}
    for name, layout in LAYOUTS.items():
        ways[name] = lambda layout=layout: ours(given.pipeline, make_config("mini", {"layout": layout}), given.canvases)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.turns):
        for name, way in ways.items():
            seconds[name].append(way())
    best = {name: min(times) for name, times in seconds.items()}
    print("| | s a canvas | ratio |\n|---|---|---|")
    for name, value in best.items():
        print(f"| {name} | {value / given.canvases:.2f} | {value / best['plain diffusers']:.3f} |")
    results = {name: round(value / given.canvases, 4) for name, value in best.items()}
    write_results(given.json, {"threads": torch.get_num_threads(), "canvases": given.canvases, "seconds": results})


if __name__ == "__main__":
    main()
