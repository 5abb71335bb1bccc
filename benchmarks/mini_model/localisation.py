"""How well does the miniature attend where things are? Masks exactly as the product makes them, against exact alpha.

    python -m mini.assets --work build/mini          # the drawings, once
    python -m benchmarks.mini_model --work build/mini

New compositions of known drawings are noised to several timesteps; the recorder reads the subject's cross-attention in one
U-Net call each, and the heat map, Otsu and the bilateral solver make the mask. Prints mean IoU with the alpha mask.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np
import torch

from mini.compose import compose
from mini.latents import encode
from mini.pictures import load_pictures
from mini.trainer import noise_scheduler
from mini.vocabulary import load_vocabulary
from mosaicfusion.config import AttentionConfig, make_config
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.backend import load_backend
from mosaicfusion.diffusion.model_folder import find_model
from mosaicfusion.masks.bilateral import refine_mask
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.threshold import binarize
from mosaicfusion.prompts import make_prompt
from mosaicfusion.selection import vocabulary_for

TIMESTEPS = (100, 300, 500, 700)
STRIDES_PX = {"1/8 (default)": (8,), "1/16": (16,), "1/8 and 1/16": (8, 16)}


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Of two bool (H, W)."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--count", type=int, default=96)
    arguments = parser.parse_args()
    backend = load_backend(find_model("mini"), "cpu", "float32")
    known, template = vocabulary_for("mini"), make_config("mini").prompt.template
    entries = load_vocabulary()
    pictures = load_pictures(arguments.work, entries)
    rng = np.random.default_rng([990001])
    alphas = noise_scheduler().alphas_cumprod
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in STRIDES_PX}
    for _ in range(arguments.count):
        scene = compose(rng, pictures, int(rng.integers(len(entries))))
        category = known.find(entries[scene.category].prompt_name)
        prompt = make_prompt(template, category, scene.background, backend.tokenizer)
        text = backend.encode([prompt.text])
        subject = torch.zeros(1, text.embeddings.shape[1])
        subject[0, list(prompt.subject)] = 1 / len(prompt.subject)
        latents = torch.from_numpy(encode(backend.pipeline.vae, scene.image[None])).float()
        with AttentionRecorder(backend.unet, AttentionConfig(strides_px=(8, 16)), 8) as recorder:
            for t in TIMESTEPS:
                noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(t))
                recorder.start_step(0, 1)
                recorder.aim(0, (16, 16), subject, slice(None))
                noisy = alphas[t].sqrt() * latents + (1 - alphas[t]).sqrt() * noise
                backend.predict(noisy, torch.tensor(t), text, (128, 128))
        sums = {stride: maps[0].numpy() for stride, maps in recorder.sums[0].items()}
        for name, strides in STRIDES_PX.items():
            coarse = binarize(heat_map({stride: sums[stride] for stride in strides}, (128, 128)))
            truth = scene.alpha > 0.5
            scores[name].append((iou(coarse, truth), iou(refine_mask(coarse, scene.image), truth)))
    print(f"{datetime.date.today()}, {arguments.count} compositions of {len(entries)} categories, t = {TIMESTEPS}")
    print("| maps | IoU, Otsu | IoU, refined |\n|---|---|---|")
    for name, pairs in scores.items():
        coarse_mean, refined_mean = np.mean(pairs, axis=0)
        print(f"| {name} | {coarse_mean:.3f} | {refined_mean:.3f} |")


if __name__ == "__main__":
    main()
