"""Quality of the masks, and of its prediction by mosaicfusion.masks.measures, which is fitted and tested here.

    python -m miniature.assets --work build/mini            # the drawings, once
    python -m benchmarks.mask_quality --work build/mini

Noise of every timestep of the product's sampler is added to new compositions of known drawings, whose exact alpha is
known. The recorder reads the subject's attention like during generation, and the product's own steps make masks and
measures. Colours are faded towards their surroundings by up to 80 %, because only poor images have poor masks. The
prediction is fitted on one half of the categories and tested on the other. Prints the constants for `measures.py`,
correlations with the IoU, and a table of IoUs.
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
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks import rle
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.masks.measures import MEASURES, measure_mask, predict_iou
from mosaicfusion.models.hub import find_model
from mosaicfusion.models.segmenters import GrabCut
from mosaicfusion.mosaic.prompts import make_prompt

BATCH = 12
FADE = 0.8  # maximum
REGION_HW = (128, 128)


@dataclass
class Instance:
    """One mask: its IoU with the exact alpha before and after refinement, and GrabCut's from the mask's box."""

    category: int
    measures: dict[str, float]
    coarse: float
    ours: float
    grabcut: float
    agreement: float


def fade(scene: Composition, part: float) -> np.ndarray:
    """Fade colours towards their surroundings: uint8 (128, 128, 3)."""
    around = cv2.GaussianBlur(scene.image, (0, 0), 24).astype(np.float32)
    faded: np.ndarray = (1 - part) * scene.image + part * around
    return faded.round().astype(np.uint8)


@torch.inference_mode()
def read_attention(
    model: DiffusionModel, latents: torch.Tensor, texts: list[str], subject: torch.Tensor, noise_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attention sums at 1/8 over half of the product's steps and over all, float32 (B, 16, 16) each."""
    config = make_config("mini")
    scheduler = model.scheduler(config.sampling.scheduler, config.sampling.steps)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(noise_seed))
    conditioning = model.encode(texts)
    with AttentionRecorder(model, config.attention) as recorder:
        for step, timestep in enumerate(scheduler.timesteps):
            recorder.start_step(step, len(scheduler.timesteps))
            recorder.set_target(0, (latents.shape[2], latents.shape[3]), subject, slice(None))
            noisy = scheduler.add_noise(latents, noise, timestep[None])
            model.predict(noisy, timestep, conditioning, REGION_HW)
    return recorder.half_sums[0][8].numpy(), recorder.sums[0][8].numpy()


def collect(work: Path, count: int) -> list[Instance]:
    """Masks and measures of ``count`` compositions, with all categories in turn."""
    model = load_model(find_model("mini"), "cpu", "float32")
    known, template = vocabulary_for("mini"), make_config("mini").prompt.template
    entries = load_vocabulary()
    pictures = load_pictures(work, entries)
    names = {category.display_name for category in known}
    numbers = [k for k, entry in enumerate(entries) if entry.prompt_name in names]
    rng = np.random.default_rng([990002])
    instances: list[Instance] = []
    for start in range(0, count, BATCH):
        scenes = [compose(rng, pictures, numbers[k % len(numbers)]) for k in range(start, min(start + BATCH, count))]
        images = np.stack([fade(scene, rng.uniform(0, FADE)) for scene in scenes])
        prompts = [
            make_prompt(template, known.find(entries[s.category].prompt_name), s.background, model.tokenizer)
            for s in scenes
        ]
        subject = torch.zeros(len(scenes), model.tokenizer.model_max_length)
        for row, prompt in zip(subject, prompts, strict=True):
            row[list(prompt.subject)] = 1 / len(prompt.subject)
        latents = torch.from_numpy(encode(model.vae, images)).float()
        half, whole = read_attention(model, latents, [prompt.text for prompt in prompts], subject, start)
        for k, scene in enumerate(scenes):
            image = model.decode(latents[k : k + 1])
            assert image is not None
            instance = compare(scene, image, whole[k], half[k])
            instances += [instance] if instance else []
    return instances


def compare(scene: Composition, image: np.ndarray, sums: np.ndarray, half_sums: np.ndarray) -> Instance | None:
    """Extract the mask of a composition and compare it; None if it is rejected."""
    result, truth = extract_mask({8: sums}, image), scene.alpha > 0.5
    if result.mask is None:
        return None
    (grabcut,) = GrabCut().segment(image, [rle.box_xywh(result.mask)])
    return Instance(
        category=scene.category,
        measures=measure_mask(result, image, {8: half_sums}),
        coarse=mask_iou(result.coarse, truth),
        ours=mask_iou(result.mask, truth),
        grabcut=mask_iou(grabcut, truth),
        agreement=mask_iou(result.mask, grabcut),
    )


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
    """Pearson's and Spearman's correlation, as cells of a table."""
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
    print(f"\ncorrelation with the IoU of the exact alpha, {len(test)} masks of the other categories:")
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
