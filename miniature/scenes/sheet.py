"""Contact sheets: all drawings by category and style, or scenes beside their masks.

python -m miniature.scenes.sheet drawings --work build/mini --out build/mini/drawings.png
python -m miniature.scenes.sheet scenes --data datasets/minilvis --split val --out build/mini/scenes.png
"""

import argparse
import colorsys
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from miniature.pictures import resize
from miniature.scenes.drawings import STYLES, Drawings, load_drawings
from miniature.scenes.surroundings import SIDE_PX
from miniature.vocabulary import load_vocabulary
from mosaicfusion.masks import rle

CELL_PX, NAME_PX = 72, 130
ROWS = 40


def drawing_sheet(names: list[str], drawings: list[Drawings]) -> Image.Image:
    """Columns of forty categories with a cell per style; empty without a drawing."""
    column_px = NAME_PX + CELL_PX * len(STYLES)
    sheet = Image.new("RGB", (column_px * -(-len(names) // ROWS), CELL_PX * min(ROWS, len(names))), (225, 215, 225))
    for number, (name, pictures) in enumerate(zip(names, drawings, strict=True)):
        left, top = column_px * (number // ROWS), CELL_PX * (number % ROWS)
        ImageDraw.Draw(sheet).text((left + 4, top + 28), name[:20], fill=0)
        for column, style in enumerate(STYLES):
            if style in pictures:
                small = resize(pictures[style].astype(np.float32), CELL_PX - 4)
                straight = np.dstack([255 * small[..., :3] / np.maximum(small[..., 3:], 1), small[..., 3]])
                picture = Image.fromarray(straight.clip(0, 255).astype(np.uint8), "RGBA")
                sheet.paste(picture, (left + NAME_PX + CELL_PX * column, top + 2), picture)
    return sheet


def overlay(image: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Darken an image, and tint each mask with a border in full colour: uint8 (H, W, 3)."""
    rendered = image * 0.5
    for number, mask in enumerate(masks):
        shade = 255 * np.array(colorsys.hsv_to_rgb(number * 0.618 % 1, 0.9, 1))
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
        rendered[mask] = 0.5 * rendered[mask] + 0.5 * shade
        rendered[mask & ~inner] = shade
    return rendered.clip(0, 255).astype(np.uint8)


def scene_sheet(data: dict[str, Any], folder: Path, count: int, seed: int, columns: int = 3) -> Image.Image:
    """Random scenes, each with its masks and names to the right of it."""
    names = {category["id"]: f"{category['name']} ({category['frequency']})" for category in data["categories"]}
    chosen = np.random.default_rng(seed).choice(len(data["images"]), min(count, len(data["images"])), replace=False)
    sheet = Image.new("RGB", (2 * SIDE_PX * columns, SIDE_PX * -(-len(chosen) // columns)))
    for cell, number in enumerate(sorted(chosen.tolist())):
        row = data["images"][number]
        annotations = [annotation for annotation in data["annotations"] if annotation["image_id"] == row["id"]]
        with Image.open(folder / row["file_name"]) as file:
            image = np.asarray(file.convert("RGB"))
        left, top = 2 * SIDE_PX * (cell % columns), SIDE_PX * (cell // columns)
        masks = Image.fromarray(overlay(image, [rle.decode(each["segmentation"]) for each in annotations]))
        for each in annotations:
            ImageDraw.Draw(masks).text(
                each["bbox"][:2], names[each["category_id"]], fill="white", stroke_width=1, stroke_fill=0
            )
        sheet.paste(Image.fromarray(image), (left, top))
        sheet.paste(masks, (left + SIDE_PX, top))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", choices=("drawings", "scenes"))
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--data", type=Path, default=Path("datasets/minilvis"))
    parser.add_argument("--split", choices=("train", "val"), default="val")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.content == "drawings":
        entries = load_vocabulary()
        sheet = drawing_sheet([entry.record["name"] for entry in entries], load_drawings(args.work, entries))
    else:
        data = json.loads((args.data / f"{args.split}.json").read_text(encoding="utf-8"))
        sheet = scene_sheet(data, args.data, args.count, args.seed)
    sheet.save(args.out)


if __name__ == "__main__":
    main()
