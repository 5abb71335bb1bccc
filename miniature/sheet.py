"""Contact sheets of generated images for randomly chosen categories, labelled with their prompts.

python -m miniature.sheet --pipeline src/mosaicfusion/models/bundled/weights --out build/mini/sheets/bundled.png
python -m miniature.sheet --work build/mini --out build/mini/sheets/latest.png --count 48 --seed 1
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw
from torch import Tensor

from miniature.export import load_pipeline
from miniature.vocabulary import load_vocabulary

COLUMNS = 12
SIDE_PX, LABEL_PX = 128, 14
BACKGROUNDS = (
    "green grass",
    "a white background",
    "a blue background",
    "a wooden table",
    "a textured gray wall",
    "a yellow floor",
    "a pink background",
    "a blue sky",
)


def choose(names: list[str], count: int, seed: int) -> list[tuple[str, str]]:
    """Choose `count` different names at random, in alphabetical order, each with a background in turn."""
    rng = np.random.default_rng(seed)
    names = sorted(rng.choice(names, size=min(count, len(names)), replace=False).tolist())
    return [(name, BACKGROUNDS[i % len(BACKGROUNDS)]) for i, name in enumerate(names)]


def sample_latents(
    pipeline: StableDiffusionPipeline, prompts: list[str], seed: int, guidance: float, steps: int
) -> Tensor:
    """Latents float32 (N, 8, 16, 16), one per prompt; latent i depends on its prompt and (seed, i) only."""
    pipeline.set_progress_bar_config(disable=True)
    parts = []
    for start in range(0, len(prompts), COLUMNS):
        part = prompts[start : start + COLUMNS]
        generators = [torch.Generator().manual_seed(1000 * seed + start + i) for i in range(len(part))]
        result = pipeline(
            part,
            height=SIDE_PX,
            width=SIDE_PX,
            guidance_scale=guidance,
            num_inference_steps=steps,
            generator=generators,
            output_type="latent",
        )
        parts.append(result.images)
    return torch.cat(parts)


@torch.no_grad()
def decode(pipeline: StableDiffusionPipeline, latents: Tensor) -> list[Image.Image]:
    """Decode latents to images of 128 x 128 pixels."""
    pixels = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    bytes_hwc = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(image) for image in bytes_hwc]


def contact_sheet(images: list[Image.Image], labels: list[str]) -> Image.Image:
    """Arrange images in rows of twelve, each below its label."""
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE_PX, rows * (SIDE_PX + LABEL_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = i % COLUMNS * SIDE_PX, i // COLUMNS * (SIDE_PX + LABEL_PX)
        sheet.paste(image, (left, top + LABEL_PX))
        pen.text((left + 2, top + 1), label, fill="black")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--work", type=Path, help="the averaged weights of this work folder's checkpoint")
    source.add_argument("--pipeline", type=Path, help="a pipeline folder")
    parser.add_argument("--base", type=Path, default=Path("src/mosaicfusion/models/bundled/weights"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--names", help="comma-separated; default: random categories")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()

    if arguments.work:
        pipeline = load_pipeline(arguments.work, arguments.base)
    else:
        pipeline = StableDiffusionPipeline.from_pretrained(arguments.pipeline, torch_dtype=torch.float32)
    names = arguments.names.split(",") if arguments.names else [entry.prompt_name for entry in load_vocabulary()]
    chosen = choose(names, arguments.count, arguments.seed)
    prompts = [f"a photo of a single {name} on {background}" for name, background in chosen]
    images = decode(pipeline, sample_latents(pipeline, prompts, arguments.seed, arguments.guidance, arguments.steps))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, [f"{name}, {background.split()[-2]}" for name, background in chosen]).save(arguments.out)


if __name__ == "__main__":
    main()
