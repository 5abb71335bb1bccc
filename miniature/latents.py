"""Stage 3: compose images and encode them, in shards that training uses as they appear.

    python -m miniature.latents --work build/mini --shards 16

A shard holds latents, category numbers and background words. The alpha of the compositions is dropped here, so that no later
stage can train on masks. Shard k is a pure function of k and the vocabulary.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny

from miniature.compose import compose
from miniature.pictures import Picture, load_pictures
from miniature.vocabulary import load_vocabulary

SHARD_SIZE = 2048
BATCH_SIZE = 8  # small enough for the activations to fit in the cache


def shard_file(work: Path, index: int) -> Path:
    return work / "latents" / f"shard-{index:05d}.npz"


@torch.no_grad()
def encode(autoencoder: AutoencoderTiny, images: np.ndarray) -> np.ndarray:
    """Images uint8 (N, 128, 128, 3) -> latents float16 (N, C, 16, 16), scaled to about unit variance."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = autoencoder.encode(pixels.contiguous(memory_format=torch.channels_last)).latents
    scaled: np.ndarray = (latents * autoencoder.config.scaling_factor).half().numpy()
    return scaled


def make_shard(index: int, size: int, pictures: list[Picture], autoencoder: AutoencoderTiny) -> dict[str, np.ndarray]:
    """The arrays of one shard: latents float16 (N, C, 16, 16), categories int16 (N,), backgrounds str (N,)."""
    rng = np.random.default_rng([index])
    latents, categories, backgrounds = [], [], []
    for start in range(0, size, BATCH_SIZE):
        batch = [compose(rng, pictures) for _ in range(min(BATCH_SIZE, size - start))]
        latents.append(encode(autoencoder, np.stack([composition.image for composition in batch])))
        categories += [composition.category for composition in batch]
        backgrounds += [composition.background for composition in batch]
    return {
        "latents": np.concatenate(latents),
        "categories": np.array(categories, np.int16),
        "backgrounds": np.array(backgrounds),
    }


def write_shard(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a shard atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes all keywords for allow_pickle
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--pipeline", type=Path, default=Path("src/mosaicfusion/models/bundled/weights"))
    parser.add_argument("--shards", type=int, default=16, help=f"total number, of {SHARD_SIZE} compositions each")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    pictures = load_pictures(arguments.work, load_vocabulary())
    autoencoder = AutoencoderTiny.from_pretrained(arguments.pipeline / "vae", torch_dtype=torch.float32)
    autoencoder = autoencoder.to(memory_format=torch.channels_last).eval()
    for index in range(arguments.shards):
        path = shard_file(arguments.work, index)
        if not path.exists():
            write_shard(path, make_shard(index, SHARD_SIZE, pictures, autoencoder))
            print(path, flush=True)


if __name__ == "__main__":
    main()
