"""What the settings of a machine gain, and what they change in pictures and masks: dtype, batch size, compiling, tiles.

    OMP_NUM_THREADS=1 python -m benchmarks.settings --json benchmarks/results/settings.json

The bundled miniature, a fresh process for each setting, CPU seconds of this process and of the compilers it starts. Pictures and
masks are compared with those of the first setting that draws the same canvases.
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

from benchmarks.mini_model.common import parser, write_results
from benchmarks.naive import Masks, agreement
from mosaicfusion.diffusion.family import Backend
from mosaicfusion.diffusion.registry import load_backend
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
    "drawing_mib": ".0f",
    "largest": ".0f",
    "mean": ".3f",
    "above_two": ".2%",
    "mean_iou": ".4f",
    "least_iou": ".3f",
    "same_verdict": ".3f",
}


def cpu_seconds() -> float:
    """Of this process, and of children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.inference_mode()
def seconds_a_call(backend: Backend) -> float:
    """Best of five U-Net calls after a first."""
    latents = torch.randn(UNET_BATCH, backend.latent_channels, *LATENT_HW, generator=torch.Generator().manual_seed(0))
    text, seconds = backend.encode(["a photo of a kite"] * UNET_BATCH), []
    for _ in range(6):
        begun = cpu_seconds()
        backend.predict(latents, torch.tensor(500), text, (128, 128))
        seconds.append(cpu_seconds() - begun)
    return min(seconds[1:])


def draw(pipeline: str, setting: Setting) -> tuple[dict[str, float], list[np.ndarray], list[Masks]]:
    """Figures, pictures and masks."""
    begun = cpu_seconds()
    options = DeviceOptions("cpu", compile=setting.compile, vae_tiling=setting.vae_tiling)
    backend = load_backend(find_model(pipeline), options, setting.dtype)
    loading = cpu_seconds() - begun
    config, vocabulary = make_config("mini", {"layout": {"grids": (setting.grid,)}}), vocabulary_for("mini")
    plan = Plan(config, vocabulary, vocabulary, backend.latent_factor)
    specs = [plan.spec(index) for index in range(setting.canvases)]
    before, begun = peak_mib(), cpu_seconds()
    drawn = [
        canvas
        for start in range(0, len(specs), setting.batch)
        for canvas in sample_canvases(backend, specs[start : start + setting.batch], config)
    ]
    seconds, memory = (cpu_seconds() - begun) / len(specs), peak_mib() - before
    figures = {
        "loading_s": loading,
        "unet_call_s": seconds_a_call(backend),
        "canvas_s": seconds,
        "drawing_mib": memory,
    }
    images = [canvas.image for canvas in drawn if canvas.image is not None]
    masks = [
        [
            extract_mask(canvas.sums[k], image[region.slices], config.masks).mask
            for k, region in enumerate(canvas.spec.canvas.regions)
        ]
        for canvas, image in zip(drawn, images, strict=True)
    ]
    return figures, images, masks


def compare(images: list[np.ndarray], others: list[np.ndarray]) -> dict[str, float]:
    """Largest and mean difference in grey levels, and the part of values that differ by more than two."""
    difference = np.abs(np.stack(images).astype(int) - np.stack(others))
    figures = {"largest": difference.max(), "mean": difference.mean(), "above_two": (difference > 2).mean()}
    return {name: float(value) for name, value in figures.items()}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", choices=SETTINGS, nargs="*", help="these; the one to compare with comes first")
    given = arguments.parse_args()
    os.environ |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": tempfile.mkdtemp()}
    rows: dict[str, dict[str, Any]] = {}
    references: dict[str, tuple[list[np.ndarray], list[Masks]]] = {}
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in given.only or SETTINGS:
            setting = SETTINGS[name]
            figures, images, masks = pool.submit(draw, given.pipeline, setting).result()
            images_then, masks_then = references.setdefault(setting.grid, (images, masks))
            rows[name] = {**figures, **compare(images, images_then), **agreement(masks, masks_then)}
            rows[name] = {key: round(value, 4) for key, value in rows[name].items()}
            cells = (f"{rows[name][key]:{form}}" for key, form in COLUMNS.items())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    write_results(given.json, {"threads": torch.get_num_threads(), "torch": torch.__version__, "settings": rows})


if __name__ == "__main__":
    main()
