"""Render MiniLVIS, in about a minute on one core; the same seed gives the same files.

python -m miniature.assets --work build/mini
python -m miniature.scenes --work build/mini --out build/minilvis
"""

import argparse
import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from miniature.scenes.card import card
from miniature.scenes.drawings import Drawings, load_drawings
from miniature.scenes.records import Split, frequencies_of
from miniature.scenes.scene import render_scene
from miniature.scenes.tail import CATEGORIES_PER_FREQUENCY, ObjectSpec, train_scenes, val_scenes
from miniature.vocabulary import load_vocabulary
from mosaicfusion.dataset.lvis import to_bytes
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.progress import ProgressBar

SEED = 20261122
FIRST_ID = {"train": 1, "val": 10_001}
VAL_IMAGES = 10  # per category
JPEG_QUALITY = 64


def jpeg(image: np.ndarray) -> bytes:
    """Encode an image, uint8 (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    return file.getvalue()


def plan(seed: int, drawings: list[Drawings]) -> dict[str, list[list[ObjectSpec]]]:
    """Choose the objects of each scene of both splits."""
    styles = [list(pictures) for pictures in drawings]
    return {
        "train": train_scenes(np.random.default_rng([seed, 0, 0]), styles, CATEGORIES_PER_FREQUENCY),
        "val": val_scenes(np.random.default_rng([seed, 1, 0]), styles, VAL_IMAGES),
    }


def render(
    seed: int, splits: dict[str, Split], scenes: dict[str, list[list[ObjectSpec]]], drawings: list[Drawings], out: Path
) -> None:
    """Render and write the images, and fill the splits."""
    done, total = 0, sum(map(len, scenes.values()))
    with ProgressBar("rendering", "scene", "starting") as progress:
        for number, split in enumerate(splits.values()):
            for index, specs in enumerate(scenes[split.name]):
                scene = render_scene(np.random.default_rng([seed, number, 1 + index]), specs, drawings)
                write_atomic(out / split.add(scene), jpeg(scene.image))
                done += 1
                progress.show(done, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, default=Path("build/minilvis"))
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} exists; give a new folder with --out, or remove it")
    cv2.setNumThreads(1)  # scenes are small
    entries = load_vocabulary()
    drawings = load_drawings(args.work, entries)
    splits = {name: Split(name, entries, first) for name, first in FIRST_ID.items()}
    render(args.seed, splits, plan(args.seed, drawings), drawings, args.out)
    train = splits["train"].to_json()
    val = splits["val"].to_json(frequencies_of(train))
    for name, data in (("train", train), ("val", val)):
        write_atomic(args.out / f"{name}.json", to_bytes(data))
    write_atomic(args.out / "README.md", card(train, val).encode())


if __name__ == "__main__":
    main()
