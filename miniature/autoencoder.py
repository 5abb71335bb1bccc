"""Stage 2b, only for a model from scratch: a tiny autoencoder, 128 x 128 x 3 to 16 x 16 x 8 and back.

    python -m miniature.autoencoder --work build/mini --steps 20000 --out build/mini/vae

It can be stopped and resumed: the crops and the noise of a step are a pure function of its number.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from miniature.compose import compose
from miniature.ema import Ema
from miniature.loop import STOPPED, load_checkpoint, run_steps, save_state
from miniature.optim import Muon
from miniature.pictures import Picture, load_pictures
from miniature.vocabulary import load_vocabulary

BATCH_SIZE = 16
CROP_PX = 64  # a fully convolutional model learns equally well from crops, at a quarter of the cost
LATENT_NOISE = 0.1  # the decoder must tolerate the small errors of a sampler


def build_autoencoder(width: int = 48) -> AutoencoderTiny:
    """Build a model of 0.76 M parameters at width 48; an AutoencoderKL of this size is several times slower on a CPU."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4,
        decoder_block_out_channels=(width,) * 4,
        latent_channels=8,
        num_encoder_blocks=(0, 1, 1, 2),
        num_decoder_blocks=(3, 2, 1, 0),
    )


def random_crops(rng: np.random.Generator, pictures: list[Picture], count: int) -> Tensor:
    """Random crops, float32 (count, 3, 64, 64) in [-1, 1], each of a new composition."""
    crops = []
    for _ in range(count):
        image = compose(rng, pictures).image
        top, left = rng.integers(image.shape[0] - CROP_PX + 1, size=2)
        crops.append(image[top : top + CROP_PX, left : left + CROP_PX])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(model: AutoencoderTiny, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """L1 + 2 MSE + half the L1 of gradients, and a penalty that keeps each latent channel at zero mean and unit deviation."""
    latents = model.encode(pixels).latents  # (B, 8, H/8, W/8)
    noise = torch.randn(latents.shape, generator=generator)
    error = model.decode(latents + LATENT_NOISE * noise).sample - pixels
    gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    spread = mean.square().mean() + (deviation - 1).square().mean()
    loss: Tensor = error.abs().mean() + 2 * error.square().mean() + 0.5 * gradients + 0.02 * spread
    return loss


def make_optimizers(model: AutoencoderTiny) -> list[torch.optim.Optimizer]:
    """Make Muon for matrices, and AdamW for vectors and the RGB layers."""
    matrices = [p for p in model.parameters() if p.ndim >= 2 and 3 not in p.shape[:2]]
    ends = [p for p in model.parameters() if p.ndim < 2 or 3 in p.shape[:2]]
    return [Muon(matrices, lr=3e-3, weight_decay=1e-4), torch.optim.AdamW(ends, lr=1.5e-3, weight_decay=0.0)]


def train(model: AutoencoderTiny, pictures: list[Picture], work: Path, steps: int) -> bool:
    """Train up to step `steps`, from the checkpoint if there is one; return True if finished.

    A finished model has the averaged weights.
    """
    checkpoint = work / "autoencoder.pt"
    optimizers, ema = make_optimizers(model), Ema(list(model.parameters()), decay=0.995)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) for optimizer in optimizers]
    parts: dict[str, Any] = {"model": model, "ema": ema, "muon": optimizers[0], "adamw": optimizers[1]}
    parts |= {"muon_schedule": schedules[0], "adamw_schedule": schedules[1]}
    first = 0
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state["steps"] != steps:
            raise SystemExit(f"{checkpoint} belongs to a run of {state['steps']} steps; finish it or remove the file")
        first = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state[name])

    def save(step: int) -> None:
        save_state(
            checkpoint, {name: part.state_dict() for name, part in parts.items()} | {"step": step, "steps": steps}
        )

    def take_step(step: int) -> float:
        rng, generator = np.random.default_rng([step]), torch.Generator().manual_seed(step)
        loss = reconstruction_loss(model, random_crops(rng, pictures, BATCH_SIZE), generator)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        ema.update()
        return loss.item()

    finished = run_steps(first, steps, take_step, save, work / "autoencoder.jsonl")
    if finished:
        ema.copy_to_model()
    return finished


@torch.no_grad()
def scale_latents(model: AutoencoderTiny, pictures: list[Picture]) -> None:
    """Store the factor that gives the latents unit variance in the model's configuration."""
    deviation = model.encode(random_crops(np.random.default_rng([0]), pictures, 256)).latents.std()
    model.register_to_config(scaling_factor=float(1 / deviation))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, default=Path("build/mini/vae"))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    pictures = load_pictures(arguments.work, load_vocabulary(train_only=False))
    model = build_autoencoder().to(memory_format=torch.channels_last)
    if not train(model, pictures, arguments.work, arguments.steps):
        raise SystemExit(STOPPED)
    scale_latents(model, pictures)
    model.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
