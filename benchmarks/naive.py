"""The paper's loop, implemented literally, compared with ours: same weights, plan, noise, steps and machine, in one run.

    python -m benchmarks.naive --canvases 8 --json benchmarks/results/naive.json

The naive method samples canvas by canvas and region by region, stores the attention of every token and head of every
layer and step until the masks are made, and solves the bilateral system with a dense matrix. The script fails unless its
masks have a mean IoU of at least 0.98 with ours. Memory is the increase during sampling over the loaded model, in a new
process for each method.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy import ndimage

from benchmarks.machine import forget_peak, peak_mib, resident_mib
from benchmarks.mini_model.common import write_results
from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import make_prompts, sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.layouts.geometry import region_weight
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import CanvasSpec, Plan

Masks = list[np.ndarray | None]  # of a canvas, by region: bool (h, w), or None if rejected
SIGMAS = (16, 16, 16, 8, 8)  # of the bilateral grid: y, x, luma, chroma, chroma
SMOOTHNESS, ROUNDS = 256.0, 2


class KeepEverything:
    """An attention processor that computes softmax(Q K^T) and stores it for all heads and tokens."""

    def __init__(self, stored: list[torch.Tensor] | None) -> None:
        self.stored = stored

    def __call__(
        self, attn: Any, hidden: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None, **_: Any
    ) -> torch.Tensor:
        source = hidden if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(part) for part in (attn.to_q(hidden), attn.to_k(source), attn.to_v(source))
        )
        probabilities = (query @ key.transpose(1, 2) * attn.scale).softmax(-1)
        if encoder_hidden_states is not None and self.stored is not None:
            self.stored.append(probabilities.chunk(2)[1])  # the conditional half: (heads, cells, tokens)
        result: torch.Tensor = attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(probabilities @ value)))
        return result


@torch.inference_mode()
def sample_naively(model: DiffusionModel, spec: CanvasSpec, config: RunConfig) -> tuple[np.ndarray, Masks]:
    """Sample one canvas; return its image and masks."""
    prompts = make_prompts(model, spec)
    factor, regions = model.latent_factor, spec.canvas.regions
    cells = [region.divided_by(factor) for region in regions]
    texts = [model.encode([config.prompt.negative, prompt.text]) for prompt in prompts]
    stored: list[list[torch.Tensor]] = [[] for _ in regions]
    scheduler = model.scheduler(config.sampling.scheduler, config.sampling.steps)
    generator = torch.Generator().manual_seed(spec.noise_seed)
    shape = (model.latent_channels, *(side // factor for side in spec.canvas.hw_px))
    latents = torch.randn(shape, generator=generator)[None] * scheduler.init_noise_sigma
    weights = [torch.from_numpy(region_weight(cell.hw)) for cell in cells]
    originals = dict(model.denoiser.attn_processors)
    for timestep in scheduler.timesteps:
        noise, total = torch.zeros_like(latents), torch.zeros(shape[1:])
        for k, cell in enumerate(cells):
            tile = scheduler.scale_model_input(latents, timestep)[:, :, *cell.slices]
            watched = tuple(config.attention.blocks)
            model.denoiser.set_attn_processor(
                {name: KeepEverything(stored[k] if name.startswith(watched) else None) for name in originals}
            )
            without, with_prompt = model.predict(torch.cat([tile, tile]), timestep, texts[k], regions[k].hw).chunk(2)
            noise[:, :, *cell.slices] += (without + config.sampling.guidance * (with_prompt - without)) * weights[k]
            total[cell.slices] += weights[k]
        latents = scheduler.step(noise / total, timestep, latents, return_dict=False)[0]
    model.denoiser.set_attn_processor(originals)
    image = model.decode(latents)
    assert image is not None
    return image, [
        naive_mask(stored[k], prompts[k].subject, image[region.slices], config, factor)
        for k, region in enumerate(regions)
    ]


def naive_mask(
    stored: list[torch.Tensor], subject: tuple[int, ...], image: np.ndarray, config: RunConfig, factor: int
) -> np.ndarray | None:
    """Average, normalise, Otsu, bilateral solver, one component (paper, section 3.3)."""
    height, width = image.shape[:2]
    heat = np.zeros((height, width), np.float32)
    for stride in config.attention.strides_px:
        hw = -(-height // stride), -(-width // stride)
        maps = torch.stack(
            [part for part in stored if part.shape[1] == hw[0] * hw[1]]
        )  # (layers * steps, heads, cells, tokens)
        mean = maps[..., list(subject)].mean((0, 1, 3)).reshape(hw).numpy()
        heat += cv2.resize(mean / mean.max(), (width, height), interpolation=cv2.INTER_LINEAR)
    levels = np.round(255 * (heat - heat.min()) / (heat.max() - heat.min())).astype(np.uint8)
    mask = cv2.threshold(levels, 0, 1, cv2.THRESH_OTSU)[1] > 0
    for _ in range(ROUNDS):
        soft = solve_densely(image, mask)
        mask = soft > 0.5 * soft.max()
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel())[1:] / mask.size
    fitting = [k + 1 for k in range(count) if config.masks.min_area <= areas[k] <= config.masks.max_area]
    return labels == fitting[0] if len(fitting) == 1 else None


def solve_densely(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Bilateral solver of Barron and Poole (2016) on its grid, with dense matrices: float (H, W)."""
    rows, columns = np.indices(target.shape)
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).reshape(-1, 3)
    cells = np.column_stack([rows.ravel(), columns.ravel(), colours]) // SIGMAS
    vertices, vertex = np.unique(cells.astype(int), axis=0, return_inverse=True)
    neighbours = np.abs(vertices[:, None] - vertices[None]).sum(-1) == 1  # (V, V)
    blur = neighbours + 2 * len(SIGMAS) * np.eye(len(vertices))
    pixels = np.bincount(vertex.ravel()).astype(float)
    scale = np.ones(len(vertices))
    for _ in range(10):
        scale = np.sqrt(scale * pixels / (blur @ scale))
    smoothing = np.diag(scale * (blur @ scale)) - scale[:, None] * blur * scale[None]
    splat = np.bincount(vertex.ravel(), weights=target.ravel())
    return np.linalg.solve(SMOOTHNESS * smoothing + np.diag(pixels), splat)[vertex.ravel()].reshape(target.shape)


def sample_ours(model: DiffusionModel, specs: list[CanvasSpec], config: RunConfig) -> list[Masks]:
    """Sample canvases like `generate`; return their masks."""
    return [
        [
            extract_mask(sampled.sums[k], sampled.image[region.slices], config.masks).mask
            for k, region in enumerate(sampled.spec.canvas.regions)
        ]
        for sampled in sample_canvases(model, specs, config)
        if sampled.image is not None
    ]


def run(method: str, pipeline: str, canvases: int) -> tuple[float, float, list[Masks]]:
    """Seconds, MiB of sampling beyond the loaded model, and the masks; a first canvas warms up."""
    model, config = load_model(find_model(pipeline), "cpu", "float32"), make_config("mini")
    vocabulary = vocabulary_for("mini")
    plan = Plan(config, vocabulary, vocabulary, model.latent_factor)
    specs = [plan.spec(index) for index in range(canvases)]
    before = resident_mib()
    forget_peak()
    for turn in (specs[:1], specs):
        start_time = time.perf_counter()
        if method == "naive":
            masks = [sample_naively(model, spec, config)[1] for spec in turn]
        else:
            masks = [
                one for start in range(0, len(turn), 8) for one in sample_ours(model, turn[start : start + 8], config)
            ]
        seconds = time.perf_counter() - start_time
    return seconds, peak_mib() - before, masks


def agreement(ours: list[Masks], naive: list[Masks]) -> dict[str, float]:
    """Mean and minimum IoU of masks that both methods keep, and the share of regions that both keep or both reject."""
    pairs = [pair for one, other in zip(ours, naive, strict=True) for pair in zip(one, other, strict=True)]
    ious = [mask_iou(one, other) for one, other in pairs if one is not None and other is not None]
    same = np.mean([(one is None) == (other is None) for one, other in pairs])
    return {
        "mean_iou": round(float(np.mean(ious)), 4),
        "min_iou": round(min(ious), 4),
        "same_verdict": round(float(same), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", default="mini")
    parser.add_argument("--canvases", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", choices=("ours", "naive"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        print(json.dumps(run(args.memory, args.pipeline, args.canvases)[1]))
        return
    results, masks = {}, {}
    for method in ("naive", "ours"):
        seconds, _, masks[method] = run(method, args.pipeline, args.canvases)
        command = [sys.executable, "-m", "benchmarks.naive", "--memory", method, "--pipeline", args.pipeline]
        command += ["--canvases", str(args.canvases)]
        memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        results[method] = {"canvases_per_hour": round(3600 * args.canvases / seconds), "sampling_mib": round(memory)}
        print(method, results[method], flush=True)
    agreed = agreement(masks["ours"], masks["naive"])
    speed = results["ours"]["canvases_per_hour"] / results["naive"]["canvases_per_hour"]
    print(f"ours is {speed:.2f} times as fast; {agreed}")
    write_results(
        args.json, {"canvases": args.canvases, **results, "speed_ratio": round(speed, 3), "agreement": agreed}
    )
    assert agreed["mean_iou"] >= 0.98, "the two methods make different masks"


if __name__ == "__main__":
    main()
