"""Stage 10: train the CLIP's image encoder on scenes, so that F-VLM recognises small, crowded and partly hidden objects.

    python -m miniature.clip_scenes --work build/mini --samples 160000 --out src/mosaicfusion/models/bundled/clip

It starts from the end of stage 9 and classifies crops of new scenes, in all styles, with frozen text embeddings. A quarter of
each batch are still compositions. Like a CLIP trained on the web, it has then seen every category in every style: what
open-vocabulary training withholds are boxes and masks.
"""

from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from torch import Tensor
from torch.nn import functional

from miniature.clip import (
    BATCH_SIZE,
    HELD_OUT,
    MODEL_CFG,
    SIDE_PX,
    arguments_of,
    bare_prompts,
    disturb,
    export,
    held_out_top1,
    load_tokenizer,
    to_pixels,
    zero_shot,
)
from miniature.clip_training import TrainingTask, train
from miniature.compose import compose
from miniature.loop import STOPPED, load_checkpoint
from miniature.pictures import Picture, load_pictures
from miniature.scenes.drawings import Drawings, load_drawings
from miniature.scenes.scene import Scene, render_scene
from miniature.scenes.tail import ObjectSpec
from miniature.vocabulary import load_vocabulary

COMPOSITIONS = BATCH_SIZE // 4
OBJECTS = 6  # per scene
MARGIN = (0.95, 1.4)  # side of a crop relative to its object, like the regions of a detector

Labelled = tuple[np.ndarray, np.ndarray]
"""Images uint8 (B, 128, 128, 3), categories int64 (B,)."""


def crop(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, margin: float) -> np.ndarray:
    """A square crop around the visible part of an object, slightly off-centre, uint8 (128, 128, 3)."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    side = max(width, height) * margin
    centre = np.array([left + width / 2, top + height / 2]) + rng.uniform(-0.1, 0.1, 2) * max(width, height)
    scale = SIDE_PX / side
    matrix = np.column_stack([np.eye(2) * scale, SIDE_PX / 2 - scale * centre])
    square: np.ndarray = cv2.warpAffine(
        image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return square


def scenes(rng: np.random.Generator, drawings: list[Drawings]) -> Iterator[Scene]:
    """Endless scenes with uniformly random categories and styles."""
    while True:
        numbers = rng.choice(len(drawings), min(OBJECTS, len(drawings)), replace=False).tolist()
        specs = [ObjectSpec(number, str(rng.choice(list(drawings[number])))) for number in numbers]
        yield render_scene(rng, specs, drawings)


def crop_scenes(
    rng: np.random.Generator, drawings: list[Drawings], count: int, margin: tuple[float, float]
) -> Labelled:
    """Crop ``count`` objects from as many scenes as necessary."""
    images: list[np.ndarray] = []
    categories: list[int] = []
    for scene in scenes(rng, drawings):
        for instance in scene.instances:
            images.append(crop(rng, scene.image, instance.mask, float(np.exp(rng.uniform(*np.log(margin))))))
            categories.append(instance.spec.category)
        if len(images) >= count:
            return np.stack(images[:count]), np.array(categories[:count])
    raise AssertionError  # scenes never end


def make_batch(step: int, pictures: list[Picture], drawings: list[Drawings]) -> Labelled:
    """Make the batch of a step; a pure function of the step's number."""
    rng = np.random.default_rng([step, 1])
    images, categories = crop_scenes(rng, drawings, BATCH_SIZE - COMPOSITIONS, MARGIN)
    composed = [compose(rng, pictures) for _ in range(COMPOSITIONS)]
    plain = np.stack([disturb(rng, scene.image) for scene in composed])
    return np.concatenate([images, plain]), np.append(categories, [scene.category for scene in composed])


def loss_of(model: open_clip.CLIP, batch: Labelled, texts: Tensor) -> Tensor:
    """Cross-entropy of images over the text embeddings of all categories, float (C, D)."""
    images = model.encode_image(to_pixels(batch[0]), normalize=True)
    return functional.cross_entropy(model.logit_scale.exp() * images @ texts.T, torch.from_numpy(batch[1]))


def scene_top1(
    model: open_clip.CLIP, tokenizer: HFTokenizer, names: list[str], drawings: list[Drawings], count: int
) -> float:
    """Zero-shot accuracy on tight crops of held-out scenes, in [0, 1]."""
    images, categories = crop_scenes(np.random.default_rng([HELD_OUT, 1]), drawings, count, (1.1, 1.2))
    model.eval()
    predicted = zero_shot(model, tokenizer, names, images).numpy()
    model.train()
    return float((predicted == categories).mean())


def freeze_text(model: open_clip.CLIP) -> None:
    """Freeze everything but the image encoder."""
    model.requires_grad_(False)
    model.visual.requires_grad_(True)


def make_task(
    model: open_clip.CLIP, pictures: list[Picture], drawings: list[Drawings], names: list[str], tokenizer: HFTokenizer
) -> TrainingTask:
    """The task of this stage; the text embeddings are those of the current model."""
    with torch.no_grad():
        texts = model.eval().encode_text(tokenizer(bare_prompts(names)), normalize=True)
    return TrainingTask(
        "clip-scenes",
        names,
        partial(make_batch, pictures=pictures, drawings=drawings),
        partial(loss_of, texts=texts),
        lambda model: {
            "top1": round(held_out_top1(model, tokenizer, pictures, names, 256), 3),
            "scenes_top1": round(scene_top1(model, tokenizer, names, drawings, 256), 3),
        },
    )


def main() -> None:
    arguments = arguments_of(__doc__)
    entries = load_vocabulary()
    names = [entry.prompt_name for entry in entries]
    pictures, drawings = load_pictures(arguments.work, entries), load_drawings(arguments.work, entries)
    tokenizer = load_tokenizer(arguments.base)
    model = open_clip.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    model.load_state_dict(load_checkpoint(arguments.work / "clip.pt")["model"])
    freeze_text(model)
    task = make_task(model, pictures, drawings, names, tokenizer)
    if not train(model, task, arguments.work, arguments.samples // BATCH_SIZE):
        raise SystemExit(STOPPED)
    print(f"zero-shot top-1 on held-out compositions {held_out_top1(model, tokenizer, pictures, names, 2048):.3f}")
    print(f"zero-shot top-1 on crops of held-out scenes {scene_top1(model, tokenizer, names, drawings, 2048):.3f}")
    if arguments.out:
        export(model, arguments.base / "tokenizer", arguments.out)


if __name__ == "__main__":
    main()
