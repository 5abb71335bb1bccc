"""Cost of the mosaic and its masks: `generate` compared with plain diffusers sampling of as many pixels without masks.

    python -m benchmarks.plain --json benchmarks/results/plain.json

Same weights, scheduler, steps and guidance, eight regions per U-Net call, in turns in one process, without loading the
model. Plain: the diffusers pipeline generates single images of a region's size and writes nothing. Ours: canvases of 2 x
2 regions with masks, records and JPEG files in a run folder. Overlaps are sampled twice; the second row of ours has them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.mini_model.common import parser, write_results
from mosaicfusion import generate, make_config, vocabulary_for
from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.layouts.grid import GridLayout
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import find_model
from mosaicfusion.profiling import profiled

BATCH = 8
NOT_SAMPLING = ("load the model", "compile")
LAYOUTS: dict[str, dict[str, Any]] = {
    "ours, no overlap": {"overlap_xy_px": (0, 0), "centre": 0.5},
    "ours, default layout": {},
}


def plain(pipeline: str, config: RunConfig, canvases: int) -> float:
    """Seconds for four images per canvas."""
    model: Any = load_model(find_model(pipeline), "cpu", "float32")
    sampler = model.pipeline
    sampler.scheduler = model.scheduler(config.sampling.scheduler, config.sampling.steps)
    sampler.set_progress_bar_config(disable=True)
    assert isinstance(config.layout, GridLayout)
    height, width = config.layout.region_hw_px
    names = [category.name for category in vocabulary_for("mini")]
    prompts = [f"a photo of a single {names[k % len(names)]} on green grass" for k in range(4 * canvases)]
    begin = time.perf_counter()
    for start in range(0, len(prompts), BATCH):
        sampler(
            prompts[start : start + BATCH],
            height=height,
            width=width,
            num_inference_steps=config.sampling.steps,
            guidance_scale=config.sampling.guidance,
        )
    return time.perf_counter() - begin


def ours(pipeline: str, config: RunConfig, canvases: int) -> float:
    """Seconds of `generate`, without loading the model and compiling the data set."""
    categories = [category.name for category in list(vocabulary_for("mini"))[:canvases]]
    with tempfile.TemporaryDirectory() as folder, profiled() as profile:
        device = DeviceOptions(batch_size=BATCH)
        settings = config.model_copy(update={"model": pipeline})
        generate(categories, out=Path(folder) / "run", canvases_per_category=1, config=settings, device=device)
    return profile.seconds - sum(total.seconds for total in profile.totals() if total.name in NOT_SAMPLING)


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--canvases", type=int, default=16, help="a multiple of eight")
    cli.add_argument("--turns", type=int, default=3)
    args = cli.parse_args()
    methods: dict[str, Callable[[], float]] = {
        "plain diffusers": partial(plain, args.pipeline, make_config("mini"), args.canvases)
    }
    for name, layout in LAYOUTS.items():
        config = make_config("mini", {"layout": layout})
        methods[name] = partial(ours, args.pipeline, config, args.canvases)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(args.turns):
        for name, method in methods.items():
            seconds[name].append(method())
    best = {name: min(times) for name, times in seconds.items()}
    print("| | s per canvas | ratio |\n|---|---|---|")
    for name, value in best.items():
        print(f"| {name} | {value / args.canvases:.2f} | {value / best['plain diffusers']:.3f} |")
    results = {name: round(value / args.canvases, 4) for name, value in best.items()}
    write_results(args.json, {"threads": torch.get_num_threads(), "canvases": args.canvases, "seconds": results})


if __name__ == "__main__":
    main()
