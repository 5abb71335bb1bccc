"""Stage 9: train the miniature's CLIP on compositions and their captions; it can be stopped and resumed.

    python -m miniature.clip --work build/mini --samples 100000
    python -m miniature.clip --work build/mini --samples 100000 --out src/mosaicfusion/models/bundled/clip

An open_clip model of 3.7 million parameters: a ResNet with attention pooling, with which F-VLM classifies regions, and a text
tower over the words of the miniature's own tokenizer. The compositions of a step are a pure function of its number, so a
resumed run equals an uninterrupted one.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from miniature.captions import caption
from miniature.clip_training import TrainingTask, train
from miniature.compose import compose
from miniature.export import swap_in
from miniature.loop import STOPPED
from miniature.pictures import Picture, load_pictures
from miniature.vocabulary import load_vocabulary

SIDE_PX = 128
BATCH_SIZE = 32
MODEL_CFG: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": SIDE_PX, "layers": [1, 1, 2, 1], "width": 24, "patch_size": None},
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 1365,
        "hf_tokenizer_name": "mini",  # any name: open_clip then uses the tokenizer in the model's folder
        "width": 128,
        "heads": 4,
        "layers": 2,
        "pool_type": "eos",
        "eos_id": 1130,
    },
}
PREPROCESS_CFG: dict[str, Any] = {
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
HELD_OUT = 1_000_000_000  # step numbers from here on are not used for training


Batch = tuple[np.ndarray, np.ndarray, list[str]]
"""Images uint8 (B, 128, 128, 3), categories int64 (B,), captions."""


def bare_prompts(names: list[str]) -> list[str]:
    """Prompts for zero-shot classification."""
    return [f"a photo of a single {name}" for name in names]


def disturb(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Augment an image, uint8 (128, 128, 3): zoom, shift, flip, blur, relight, to resemble crops of canvases.

    The object is assumed near the middle; its exact location is not used.
    """
    zoom = np.exp(rng.uniform(np.log(0.6), np.log(1.5)))
    shift = rng.uniform(-0.12, 0.12, size=2) * SIDE_PX
    matrix = np.array([[zoom, 0, 0], [0, zoom, 0]])
    matrix[:, 2] = SIDE_PX / 2 * (1 - zoom) + shift
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += SIDE_PX
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    image = cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=flags, borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.0))
    pixels: np.ndarray = image * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-20, 20))
    if rng.random() < 0.3:
        pixels += rng.normal(0, rng.uniform(1, 8), pixels.shape).astype(np.float32)
    return pixels.clip(0, 255).astype(np.uint8)


def make_batch(step: int, pictures: list[Picture], names: list[str], augment: bool = True) -> Batch:
    """Compose the batch of a step; a pure function of the step's number."""
    rng = np.random.default_rng([step])
    images, categories, captions = [], [], []
    for _ in range(BATCH_SIZE):
        scene = compose(rng, pictures)
        images.append(disturb(rng, scene.image) if augment else scene.image)
        categories.append(scene.category)
        captions.append(caption(rng, names[scene.category], scene.background))
    return np.stack(images), np.array(categories), captions


def to_pixels(images: np.ndarray) -> Tensor:
    """Images uint8 (N, H, W, 3) -> float32 (N, 3, H, W), normalised by the model's configuration."""
    mean, std = (torch.tensor(PREPROCESS_CFG[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    return pixels.contiguous(memory_format=torch.channels_last)


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, captions: list[str]) -> Tensor:
    """Symmetric cross-entropy (Radford et al., 2021); equal captions in a batch count as matches of each other."""
    same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32)
    targets = same / same.sum(1, keepdim=True)
    logits = scale * images @ texts.T
    return (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)) / 2


def loss_of(model: open_clip.CLIP, tokenizer: HFTokenizer, batch: Batch, prompts: Tensor) -> Tensor:
    """Contrastive loss of images and captions, and cross-entropy of images over all categories' prompts, averaged.

    The second is the model's purpose; a batch alone contains few categories that look similar.
    """
    pixels, categories, captions = to_pixels(batch[0]), torch.from_numpy(batch[1]), batch[2]
    images = model.encode_image(pixels, normalize=True)
    texts = model.encode_text(torch.cat([tokenizer(captions), prompts]), normalize=True)
    scale = model.logit_scale.exp().clamp(max=100)
    zero_shot = functional.cross_entropy(scale * images @ texts[len(captions) :].T, categories)
    return (contrastive_loss(images, texts[: len(captions)], scale, captions) + zero_shot) / 2


@torch.no_grad()
def zero_shot(model: open_clip.CLIP, tokenizer: HFTokenizer, names: list[str], images: np.ndarray) -> Tensor:
    """Index of the best category of each image, int64 (N,)."""
    texts = model.encode_text(tokenizer(bare_prompts(names)), normalize=True)
    parts = [
        model.encode_image(to_pixels(part), normalize=True) for part in np.array_split(images, -(-len(images) // 64))
    ]
    best: Tensor = (torch.cat(parts) @ texts.T).argmax(1)
    return best


def held_out_top1(
    model: open_clip.CLIP, tokenizer: HFTokenizer, pictures: list[Picture], names: list[str], count: int
) -> float:
    """Zero-shot accuracy on held-out compositions without augmentation, in [0, 1]."""
    held_out = range(HELD_OUT, HELD_OUT + -(-count // BATCH_SIZE))
    images, categories, _ = zip(*(make_batch(step, pictures, names, augment=False) for step in held_out), strict=True)
    model.eval()
    predicted = zero_shot(model, tokenizer, names, np.concatenate(images)).numpy()
    model.train()
    return float((predicted == np.concatenate(categories)).mean())


def export(model: open_clip.CLIP, tokenizer_folder: Path, out: Path) -> None:
    """Write a folder that open_clip reads as "local-dir:OUT": configuration, weights in half precision, tokenizer."""
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(tokenizer_folder, fresh)
    weights = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in model.state_dict().items()}
    save_file(weights, fresh / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (fresh / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    swap_in(fresh, out, "open_clip_config.json")


def make_task(pictures: list[Picture], names: list[str], tokenizer: HFTokenizer) -> TrainingTask:
    """The task of this stage: compositions and their captions."""
    prompts = tokenizer(bare_prompts(names))
    return TrainingTask(
        "clip",
        names,
        lambda step: make_batch(step, pictures, names),
        lambda model, batch: loss_of(model, tokenizer, batch, prompts),
        lambda model: {"top1": round(held_out_top1(model, tokenizer, pictures, names, 256), 3)},
    )


def arguments_of(description: str | None) -> argparse.Namespace:
    """Parse the arguments of both CLIP stages, and set threads and the random seed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument(
        "--base",
        type=Path,
        default=Path("src/mosaicfusion/models/bundled/weights"),
        help="pipeline folder with the tokenizer",
    )
    parser.add_argument("--samples", type=int, default=100_000, help="total number of training samples")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for the finished model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    return arguments


def load_tokenizer(base: Path) -> HFTokenizer:
    """Load the miniature's own tokenizer."""
    return HFTokenizer(str(base / "tokenizer"), context_length=MODEL_CFG["text_cfg"]["context_length"])


def main() -> None:
    arguments = arguments_of(__doc__)
    entries = load_vocabulary()
    names = [entry.prompt_name for entry in entries]
    pictures, tokenizer = load_pictures(arguments.work, entries), load_tokenizer(arguments.base)
    model = open_clip.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    task = make_task(pictures, names, tokenizer)
    if not train(model, task, arguments.work, arguments.samples // BATCH_SIZE):
        raise SystemExit(STOPPED)
    print(f"zero-shot top-1 on held-out compositions {held_out_top1(model, tokenizer, pictures, names, 2048):.3f}")
    if arguments.out:
        export(model, arguments.base / "tokenizer", arguments.out)


if __name__ == "__main__":
    main()
