"""Localisation of the miniature's attention: masks made exactly like in the product, compared with exact alpha.

    python -m miniature.assets --work build/mini                        # the drawings, once
    python -m benchmarks.mini_model.localisation --work build/mini

Noise of ten timesteps is added to new compositions of known drawings; the recorder reads the subject's cross-attention in
one U-Net call each, and heat map, Otsu and bilateral solver make the mask. The table is the paper's figure 3: IoU by
resolution, range of steps and block, from the same U-Net calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from benchmarks.mini_model.common import held_out, parser, write_results
from miniature.compose import Composition
from miniature.latents import encode
from miniature.trainer import noise_scheduler
from miniature.vocabulary import load_vocabulary
from mosaicfusion.config import AttentionConfig
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks.bilateral import refine_mask
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.masks.threshold import binarize
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.prompts import make_prompt

TIMESTEPS = tuple(range(950, 0, -100))  # in the sampler's order, from noise to image
BLOCKS = ("down_blocks", "up_blocks")
STRIDES_PX = (8, 16)
Maps = dict[tuple[str, int, int], np.ndarray]  # (block, step, stride) -> float32 (h, w)

FIRST, MIDDLE, LAST = range(4), range(3, 7), range(6, 10)
EVERY = range(len(TIMESTEPS))
CHOICES: dict[str, tuple[Sequence[str], Sequence[int], Sequence[int]]] = {
    "1/8, all steps, all blocks (the default)": (BLOCKS, EVERY, (8,)),
    "1/16": (BLOCKS, EVERY, (16,)),
    "1/8 and 1/16": (BLOCKS, EVERY, (8, 16)),
    "1/8, down blocks": (("down_blocks",), EVERY, (8,)),
    "1/8, up blocks": (("up_blocks",), EVERY, (8,)),
    "1/8, first 40 % of steps": (BLOCKS, FIRST, (8,)),
    "1/8, middle 40 %": (BLOCKS, MIDDLE, (8,)),
    "1/8, last 40 %": (BLOCKS, LAST, (8,)),
    "1/8, first half": (BLOCKS, range(5), (8,)),
}


@torch.inference_mode()
def attention_maps(model: DiffusionModel, scene: Composition, name: str) -> Maps:
    """The subject's attention on a noisy composition, by block, timestep and resolution."""
    template = make_config("mini").prompt.template
    prompt = make_prompt(template, vocabulary_for("mini").find(name), scene.background, model.tokenizer)
    text = model.encode([prompt.text])
    subject = torch.zeros(1, text.embeddings.shape[1])
    subject[0, list(prompt.subject)] = 1 / len(prompt.subject)
    latents = torch.from_numpy(encode(model.vae, scene.image[None])).float()
    alphas = noise_scheduler().alphas_cumprod
    recorders = {
        block: AttentionRecorder(model, AttentionConfig(strides_px=STRIDES_PX, blocks=(block,)), keep_steps=True)
        for block in BLOCKS
    }
    with recorders["down_blocks"], recorders["up_blocks"]:
        for step, t in enumerate(TIMESTEPS):
            for recorder in recorders.values():
                recorder.start_step(step, len(TIMESTEPS))
                recorder.set_target(0, (16, 16), subject, slice(None))
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(t))
            noisy = alphas[t].sqrt() * latents + (1 - alphas[t]).sqrt() * noise
            model.predict(noisy, torch.tensor(t), text, (128, 128))
    return {
        (block, step, stride): recorder.step_sums[0][step][stride][0].numpy()
        for block, recorder in recorders.items()
        for step, stride in product(EVERY, STRIDES_PX)
        if stride in recorder.step_sums[0][step]
    }


def masks_iou(
    maps: Maps, scene: Composition, choice: tuple[Sequence[str], Sequence[int], Sequence[int]]
) -> tuple[float, float]:
    """IoU of the mask with the alpha mask, before and after refinement."""
    blocks, steps, strides = choice
    pairs = list(product(blocks, steps))
    sums = {stride: np.sum([maps[block, step, stride] for block, step in pairs], axis=0) for stride in strides}
    coarse = binarize(heat_map(sums, scene.alpha.shape), "otsu")
    truth = scene.alpha > 0.5
    return mask_iou(coarse, truth), mask_iou(refine_mask(coarse, scene.image), truth)


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--count", type=int, default=158)
    args = cli.parse_args()
    model = load_model(find_model(args.pipeline), "cpu", "float32")
    names = [entry.prompt_name for entry in load_vocabulary()]
    scores: dict[str, list[tuple[float, float]]] = {choice: [] for choice in CHOICES}
    for scene in held_out(args.work, args.count):
        maps = attention_maps(model, scene, names[scene.category])
        for name, choice in CHOICES.items():
            scores[name].append(masks_iou(maps, scene, choice))
    means = {name: [round(float(value), 4) for value in np.mean(pairs, axis=0)] for name, pairs in scores.items()}
    print("| attention | IoU, Otsu | IoU, refined |\n|---|---|---|")
    for name, (coarse, refined) in means.items():
        print(f"| {name} | {coarse:.3f} | {refined:.3f} |")
    write_results(args.json, {"compositions": args.count, "timesteps": TIMESTEPS, "iou_otsu_refined": means})


if __name__ == "__main__":
    main()
