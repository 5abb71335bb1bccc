"""Stage 10: the image half of the CLIP sees scenes, so that F-VLM can tell small, crowded, half hidden objects apart.

    python -m miniature.clip_scenes --work build/mini --samples 160000 --out src/mosaicfusion/models/bundled/clip

It goes on from the end of stage 9 and classifies crops of fresh scenes, in all styles, against the texts as they are; the text
half stays. A quarter of each batch are still compositions. As a CLIP of the web has, it has then seen every category drawn in
every style: what open-vocabulary training withholds are boxes and masks.
"""

from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from torch import Tensor, nn
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
from miniature.clip_training import Lesson, train
from miniature.compose import compose
from miniature.loop import STOPPED, load_checkpoint
from miniature.pictures import Picture, load_pictures
from miniature.scenes.drawings import Drawings, load_drawings
from miniature.scenes.scene import Scene, draw_scene
from miniature.scenes.tail import Card
from miniature.vocabulary import load_vocabulary

COMPOSITIONS = BATCH_SIZE // 4
CARDS = 6  # objects a scene
MARGIN = (0.95, 1.4)  # side of a crop over that of its object: what a region of a detector shows

Labelled = tuple[np.ndarray, np.ndarray]
"""uint8 (B, 128, 128, 3), categories int64 (B,)."""


def crop(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, margin: float) -> np.ndarray:
    """A square about what is visible of an object, not quite in its middle, as uint8 (128, 128, 3)."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    side = max(width, height) * margin
    centre = np.array([left + width / 2, top + height / 2]) + rng.uniform(-0.1, 0.1, 2) * max(width, height)
    scale = SIDE_PX / side
    matrix = np.column_stack([np.eye(2) * scale, SIDE_PX / 2 - scale * centre])
    return cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def scenes(rng: np.random.Generator, drawings: list[Drawings]) -> Iterator[Scene]:
    """Scenes whose categories and styles are all equally likely."""
    while True:
        numbers = rng.choice(len(drawings), min(CARDS, len(drawings)), replace=False).tolist()
        cards = [Card(number, str(rng.choice(list(drawings[number])))) for number in numbers]
        yield draw_scene(rng, cards, drawings)


def scene_crops(
    rng: np.random.Generator, drawings: list[Drawings], count: int, margin: tuple[float, float]
) -> Labelled:
    """So many crops, of as many scenes as it takes."""
    images: list[np.ndarray] = []
    categories: list[int] = []
    for scene in scenes(rng, drawings):
        for instance in scene.instances:
            images.append(crop(rng, scene.image, instance.mask, float(np.exp(rng.uniform(*np.log(margin))))))
            categories.append(instance.card.category)
        if len(images) >= count:
            return np.stack(images[:count]), np.array(categories[:count])
    raise AssertionError  # scenes never end


def make_batch(step: int, pictures: list[Picture], drawings: list[Drawings]) -> Labelled:
    """A pure function of the step's number."""
    rng = np.random.default_rng([step, 1])
    images, categories = scene_crops(rng, drawings, BATCH_SIZE - COMPOSITIONS, MARGIN)
    composed = [compose(rng, pictures) for _ in range(COMPOSITIONS)]
    plain = np.stack([disturb(rng, scene.image) for scene in composed])
    return np.concatenate([images, plain]), np.append(categories, [scene.category for scene in composed])


def loss_of(model: nn.Module, batch: Labelled, texts: Tensor) -> Tensor:
    """Cross-entropy of the pictures over the texts of all categories, float (C, D)."""
    images = model.encode_image(to_pixels(batch[0]), normalize=True)
    return functional.cross_entropy(model.logit_scale.exp() * images @ texts.T, torch.from_numpy(batch[1]))


def scene_top1(
    model: nn.Module, tokenizer: HFTokenizer, names: list[str], drawings: list[Drawings], count: int
) -> float:
    """Share of close crops of held-out scenes that are named right, in [0, 1]."""
    images, categories = scene_crops(np.random.default_rng([HELD_OUT, 1]), drawings, count, (1.1, 1.2))
    model.eval()
    named = zero_shot(model, tokenizer, names, images).numpy()
    model.train()
    return float((named == categories).mean())


def freeze_text(model: nn.Module) -> None:
    """Only what sees is trained."""
    model.requires_grad_(False)
    model.visual.requires_grad_(True)


def make_lesson(
    model: nn.Module, pictures: list[Picture], drawings: list[Drawings], names: list[str], tokenizer: HFTokenizer
) -> Lesson:
    """The texts are those of the model as it is."""
    with torch.no_grad():
        texts = model.eval().encode_text(tokenizer(bare_prompts(names)), normalize=True)
    return Lesson(
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
    lesson = make_lesson(model, pictures, drawings, names, tokenizer)
    if not train(model, lesson, arguments.work, arguments.samples // BATCH_SIZE):
        raise SystemExit(STOPPED)
    print(f"zero-shot top-1 on held-out compositions {held_out_top1(model, tokenizer, pictures, names, 2048):.3f}")
    print(f"zero-shot top-1 on crops of held-out scenes {scene_top1(model, tokenizer, names, drawings, 2048):.3f}")
    if arguments.out:
        export(model, arguments.base / "tokenizer", arguments.out)


if __name__ == "__main__":
    main()
