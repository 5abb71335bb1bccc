"""Stage 2b, only for a model from scratch: a tiny autoencoder, 128 x 128 x 3 to 16 x 16 x 8 and back.

python -m mini.autoencoder --work build/mini --minutes 30 --out build/mini/vae
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from mini.compose import compose
from mini.ema import Ema
from mini.optim import Muon
from mini.pictures import Picture, load_pictures
from mini.vocabulary import load_vocabulary

CROP_PX = 64  # a fully convolutional model learns as much from crops, at a quarter of the cost
LATENT_NOISE = 0.1  # the decoder must forgive the small errors of a sampler


def build_autoencoder(width: int = 48) -> AutoencoderTiny:
    """0.76 M parameters at width 48; AutoencoderKL of this size is several times slower on a CPU."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4,
        decoder_block_out_channels=(width,) * 4,
        latent_channels=8,
        num_encoder_blocks=(0, 1, 1, 2),
        num_decoder_blocks=(3, 2, 1, 0),
    )


def random_crops(rng: np.random.Generator, pictures: list[Picture], count: int) -> Tensor:
    """float32 (count, 3, 64, 64) in [-1, 1], each from a fresh composition."""
    crops = []
    for _ in range(count):
        image = compose(rng, pictures).image
        top, left = rng.integers(image.shape[0] - CROP_PX + 1, size=2)
        crops.append(image[top : top + CROP_PX, left : left + CROP_PX])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(model: AutoencoderTiny, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """L1 + 2 MSE + half the L1 of gradients, and a pull of every latent channel to zero mean and unit deviation."""
    latents = model.encode(pixels).latents  # (B, 8, H/8, W/8)
    noise = torch.randn(latents.shape, generator=generator)
    error = model.decode(latents + LATENT_NOISE * noise).sample - pixels
    gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    spread = mean.square().mean() + (deviation - 1).square().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * gradients + 0.02 * spread


def train(model: AutoencoderTiny, pictures: list[Picture], minutes: float, batch_size: int = 16) -> None:
    """Leaves the averaged weights in the model, and the scale that gives its latents unit variance."""
    ends = {id(p) for p in model.parameters() if p.ndim < 2 or 3 in p.shape[:2]}  # vectors and the RGB layers
    muon = Muon([p for p in model.parameters() if id(p) not in ends], lr=3e-3, weight_decay=1e-4)
    adamw = torch.optim.AdamW([p for p in model.parameters() if id(p) in ends], lr=1.5e-3, weight_decay=0.0)
    ema = Ema(list(model.parameters()), decay=0.995)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    base_lrs = (3e-3, 1.5e-3)
    began = time.time()
    while (progress := (time.time() - began) / (60 * minutes)) < 1:
        for optimizer, lr in zip((muon, adamw), base_lrs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = lr * max(0.01, 0.5 * (1 + np.cos(np.pi * progress)))
        reconstruction_loss(model, random_crops(rng, pictures, batch_size), generator).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
        ema.update()
    ema.copy_to_model()
    with torch.no_grad():
        deviation = model.encode(random_crops(rng, pictures, 256)).latents.std()
    model.register_to_config(scaling_factor=float(1 / deviation))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, default=Path("build/mini/vae"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = build_autoencoder().to(memory_format=torch.channels_last)
    train(model, load_pictures(arguments.work, load_vocabulary(train_only=False)), arguments.minutes)
    model.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
