"""Execution settings: their speed, and their effect on images and masks (dtype, batch size, compilation, tiling).

    OMP_NUM_THREADS=1 python -m benchmarks.settings --json benchmarks/results/settings.json

The bundled model, a new process for each setting, CPU seconds of this process and of the compilers it starts. Images and
masks are compared with those of the first setting with the same canvases.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from benchmarks.machine import peak_mib
from benchmarks.mini_model.common import parser, write_results
from benchmarks.naive import Masks, agreement
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan

UNET_BATCH, LATENT_HW = 16, (16, 16)  # eight canvases and guidance; regions of 128 px


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    dtype: str = "float32"
    grid: str = "2x2"
    canvases: int = 8
    batch: int = 8
    compile: bool = False
    vae_tiling: bool = False


SETTINGS = {
    "float32": Setting(),
    "bfloat16": Setting(dtype="bfloat16"),
    "float16": Setting(dtype="float16"),
    "batch size 1": Setting(batch=1),
    "compile": Setting(compile=True),
    "8 x 8 regions": Setting(grid="8x8", canvases=1),
    "8 x 8 regions, VAE tiling": Setting(grid="8x8", canvases=1, vae_tiling=True),
}
COLUMNS = {
    "loading_s": ".1f",
    "unet_call_s": ".3f",
    "canvas_s": ".2f",
    "sampling_mib": ".0f",
    "largest": ".0f",
    "mean": ".3f",
    "above_two": ".2%",
    "mean_iou": ".4f",
    "min_iou": ".3f",
    "same_verdict": ".3f",
}


def cpu_seconds() -> float:
    """CPU seconds of this process and of its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@torch.inference_mode()
def seconds_per_call(model: DiffusionModel) -> float:
    """Shortest of five U-Net calls after a warm-up."""
    latents = torch.randn(UNET_BATCH, model.latent_channels, *LATENT_HW, generator=torch.Generator().manual_seed(0))
    text, seconds = model.encode(["a photo of a kite"] * UNET_BATCH), []
    for _ in range(6):
        start_time = cpu_seconds()
        model.predict(latents, torch.tensor(500), text, (128, 128))
        seconds.append(cpu_seconds() - start_time)
    return min(seconds[1:])


def sample(pipeline: str, setting: Setting) -> tuple[dict[str, float], list[np.ndarray], list[Masks]]:
    """Costs, images and masks of a setting."""
    start_time = cpu_seconds()
    options = DeviceOptions("cpu", compile=setting.compile, vae_tiling=setting.vae_tiling)
    model = load_model(find_model(pipeline), options, setting.dtype)
    loading = cpu_seconds() - start_time
    config, vocabulary = make_config("mini", {"layout": {"grids": (setting.grid,)}}), vocabulary_for("mini")
    plan = Plan(config, vocabulary, vocabulary, model.latent_factor)
    specs = [plan.spec(index) for index in range(setting.canvases)]
    before, start_time = peak_mib(), cpu_seconds()
    canvases = [
        canvas
        for start in range(0, len(specs), setting.batch)
        for canvas in sample_canvases(model, specs[start : start + setting.batch], config)
    ]
    seconds, memory = (cpu_seconds() - start_time) / len(specs), peak_mib() - before
    values = {
        "loading_s": loading,
        "unet_call_s": seconds_per_call(model),
        "canvas_s": seconds,
        "sampling_mib": memory,
    }
    images = [canvas.image for canvas in canvases if canvas.image is not None]
    masks = [
        [
            extract_mask(canvas.sums[k], image[region.slices], config.masks).mask
            for k, region in enumerate(canvas.spec.canvas.regions)
        ]
        for canvas, image in zip(canvases, images, strict=True)
    ]
    return values, images, masks


def compare(images: list[np.ndarray], others: list[np.ndarray]) -> dict[str, float]:
    """Largest and mean difference in grey levels, and the share of values that differ by more than two."""
    difference = np.abs(np.stack(images).astype(int) - np.stack(others))
    values = {"largest": difference.max(), "mean": difference.mean(), "above_two": (difference > 2).mean()}
    return {name: float(value) for name, value in values.items()}


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--only", choices=SETTINGS, nargs="*", help="settings to run, with the reference first")
    args = cli.parse_args()
    os.environ |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": tempfile.mkdtemp()}
    rows: dict[str, dict[str, Any]] = {}
    references: dict[str, tuple[list[np.ndarray], list[Masks]]] = {}
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in args.only or SETTINGS:
            setting = SETTINGS[name]
            values, images, masks = pool.submit(sample, args.pipeline, setting).result()
            reference_images, reference_masks = references.setdefault(setting.grid, (images, masks))
            rows[name] = {**values, **compare(images, reference_images), **agreement(masks, reference_masks)}
            rows[name] = {key: round(value, 4) for key, value in rows[name].items()}
            cells = (f"{rows[name][key]:{form}}" for key, form in COLUMNS.items())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    write_results(args.json, {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": rows})


if __name__ == "__main__":
    main()
