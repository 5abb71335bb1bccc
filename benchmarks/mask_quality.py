"""How good are the masks, and does `quality` know? Fits and tests the prediction of mosaicfusion.masks.measures.

    python -m miniature.assets --work build/mini            # the drawings, once
    python -m benchmarks.mask_quality --work build/mini

New compositions of known drawings, of which the exact alpha is known, are noised to every timestep of the product's sampler; the
recorder reads the subject's attention as it does while drawing, and the product's own steps make mask and measures. Colours are
faded towards their surroundings by up to 80 %, for only poor pictures have poor masks. The prediction is fitted on one half of
the categories and tested on the other. Prints the constants for `intrinsic.py`, correlations with the IoU, and a table of IoUs.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy import stats

from miniature.compose import Composition, compose
from miniature.latents import encode
from miniature.pictures import load_pictures
from miniature.vocabulary import load_vocabulary
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import Backend
from mosaicfusion.diffusion.registry import load_backend
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks import rle
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.masks.measures import MEASURES, measure, predict_iou
from mosaicfusion.models.hub import find_model
from mosaicfusion.models.segmenters import GrabCut
from mosaicfusion.mosaic.prompts import make_prompt

BATCH = 12
FADE = 0.8  # at most
REGION_HW = (128, 128)


@dataclass
class Instance:
    """One mask, and how it compares: with the exact alpha before and after refinement, and with GrabCut from its box."""

    category: int
    measures: dict[str, float]
    coarse: float
    ours: float
    grabcut: float
    agreement: float


def fade(scene: Composition, part: float) -> np.ndarray:
    """Colours drawn towards those around them: uint8 (128, 128, 3)."""
    around = cv2.GaussianBlur(scene.image, (0, 0), 24).astype(np.float32)
    return ((1 - part) * scene.image + part * around).round().astype(np.uint8)


@torch.inference_mode()
def read_attention(
    backend: Backend, latents: torch.Tensor, texts: list[str], subject: torch.Tensor, noise_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums at 1/8 over half of the product's steps and over all, float32 (B, 16, 16) each."""
    config = make_config("mini")
    scheduler = backend.scheduler(config.sampling.scheduler, config.sampling.steps)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(noise_seed))
    conditioning = backend.encode(texts)
    with AttentionRecorder(backend.unet, config.attention, backend.latent_factor) as recorder:
        for step, timestep in enumerate(scheduler.timesteps):
            recorder.start_step(step, len(scheduler.timesteps))
            recorder.set_target(0, tuple(latents.shape[2:]), subject, slice(None))
            noisy = scheduler.add_noise(latents, noise, timestep[None])
            backend.predict(noisy, timestep, conditioning, REGION_HW)
    return recorder.half_sums[0][8].numpy(), recorder.sums[0][8].numpy()


def collect(work: Path, count: int) -> list[Instance]:
    """Masks and measures of ``count`` compositions, every category in turn."""
    backend = load_backend(find_model("mini"), "cpu", "float32")
    known, template = vocabulary_for("mini"), make_config("mini").prompt.template
    entries = load_vocabulary()
    pictures = load_pictures(work, entries)
    shown = [k for k, entry in enumerate(entries) if entry.prompt_name in {category.display_name for category in known}]
    rng = np.random.default_rng([990002])
    annotator, instances = GrabCut(), []
    for start in range(0, count, BATCH):
        scenes = [compose(rng, pictures, shown[k % len(shown)]) for k in range(start, min(start + BATCH, count))]
        images = np.stack([fade(scene, rng.uniform(0, FADE)) for scene in scenes])
        prompts = [
            make_prompt(template, known.find(entries[s.category].prompt_name), s.background, backend.tokenizer)
            for s in scenes
        ]
        subject = torch.zeros(len(scenes), backend.tokenizer.model_max_length)
        for row, prompt in zip(subject, prompts, strict=True):
            row[list(prompt.subject)] = 1 / len(prompt.subject)
        latents = torch.from_numpy(encode(backend.pipeline.vae, images)).float()
        half, whole = read_attention(backend, latents, [prompt.text for prompt in prompts], subject, start)
        for k, scene in enumerate(scenes):
            image, truth = backend.decode(latents[k : k + 1]), scene.alpha > 0.5
            found = extract_mask({8: whole[k]}, image)
            if found.mask is None:
                continue
            (theirs,) = annotator.segment(image, [rle.box_xywh(found.mask)])
            instances.append(
                Instance(
                    category=scene.category,
                    measures=measure(found, image, {8: half[k]}),
                    coarse=mask_iou(found.coarse, truth),
                    ours=mask_iou(found.mask, truth),
                    grabcut=mask_iou(theirs, truth),
                    agreement=mask_iou(found.mask, theirs),
                )
            )
    return instances


def fit_logistic(values: np.ndarray, ious: np.ndarray, ridge: float = 1.0) -> tuple[float, np.ndarray]:
    """Intercept and weights (M,) of 1 / (1 + exp(-(b + values @ w))) by Newton's method; the ridge is on scaled values (N, M)."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    design = np.column_stack([np.ones(len(values)), (values - mean) / deviation])
    penalty = ridge * np.diag([0.0] + [1.0] * values.shape[1])
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        expected = 1 / (1 + np.exp(-design @ solution))
        curvature = design.T @ (design * (expected * (1 - expected))[:, None]) + penalty
        solution += np.linalg.solve(curvature, design.T @ (ious - expected) - penalty @ solution)
    weights = solution[1:] / deviation
    return float(solution[0] - weights @ mean), weights


def correlations(values: Sequence[float] | np.ndarray, ious: list[float]) -> str:
    """Pearson and Spearman as cells of a table."""
    return f"{stats.pearsonr(values, ious)[0]:.2f} | {stats.spearmanr(values, ious)[0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--count", type=int, default=316)
    arguments = parser.parse_args()
    instances = collect(arguments.work, arguments.count)
    halves = np.random.default_rng(0).permutation(sorted({i.category for i in instances}))
    seen = set(halves[: len(halves) // 2].tolist())
    train = [i for i in instances if i.category in seen]
    test = [i for i in instances if i.category not in seen]
    values = np.array([[i.measures[name] for name in MEASURES] for i in train])
    intercept, weights = fit_logistic(values, np.array([i.ours for i in train]))
    print(
        f"{datetime.date.today()}, {len(instances)} masks of {arguments.count} compositions, {len(halves)} categories"
    )
    print(f"\nfitted on {len(train)} masks: _INTERCEPT = {intercept:.2f}")
    print("_WEIGHTS =", {name: round(float(weight), 2) for name, weight in zip(MEASURES, weights, strict=True)})
    ious = [i.ours for i in test]
    print(f"\nagainst the IoU with exact alpha, {len(test)} masks of the other categories:")
    print("| | Pearson | Spearman |\n|---|---|---|")
    tested = np.array([[i.measures[name] for name in MEASURES] for i in test])
    print("| quality as fitted above |", correlations(1 / (1 + np.exp(-intercept - tested @ weights)), ious), "|")
    print("| quality as built in |", correlations([predict_iou(i.measures) for i in test], ious), "|")
    for name in test[0].measures:
        print(f"| {name} |", correlations([i.measures[name] for i in test], ious), "|")
    agreement = correlations([i.agreement for i in test], [i.grabcut for i in test])
    print("| agreement with GrabCut, against GrabCut's own IoU |", agreement, "|")
    print("\n| all masks | mean IoU | above 0.9 |\n|---|---|---|")
    for title, key in (
        ("Otsu, exact alpha", "coarse"),
        ("refined (ours), exact alpha", "ours"),
        ("GrabCut from our box, exact alpha", "grabcut"),
        ("ours, GrabCut", "agreement"),
    ):
        column = np.array([getattr(i, key) for i in instances])
        print(f"| {title} | {column.mean():.3f} | {(column > 0.9).mean():.0%} |")


if __name__ == "__main__":
    main()
