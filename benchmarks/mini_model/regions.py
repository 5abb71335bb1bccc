"""Accuracy of a CLIP on the true boxes of MiniLVIS, an upper limit of its benefit for F-VLM.

    python -m benchmarks.mini_model.regions --data datasets/minilvis

Each box is classified as a crop, like by `mosaicfusion semantics`, and as a region pooled from the feature map, like by F-VLM, at
the image size of the recipe `mini_fvlm`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.mini_model.common import write_results
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.detectors.models.fvlm import FrozenResNet, RegionEncoder
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.clip import load_clip
from mosaicfusion.quality.semantics import TEMPLATES, text_vectors


@torch.inference_mode()
def named_right(name: str, data: Path) -> dict[str, dict[str, float]]:
    """Top-1 among the categories of the set, in [0, 1], by style and way."""
    clip, side = load_clip(name, "cpu"), load_recipe("mini_fvlm").data.test_side_px
    tower = clip.image_tower
    stages, encoder = FrozenResNet(tower, [32]), RegionEncoder(tower.attnpool)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (tower.image_mean, tower.image_std))
    records = json.loads((data / "val.json").read_text(encoding="utf-8"))
    vocabulary = list(vocabulary_for("mini", None, data / "val.json"))
    texts = text_vectors(clip, vocabulary, TEMPLATES)
    rows = {category.name: row for row, category in enumerate(vocabulary)}
    names = {category["id"]: category["name"] for category in records["categories"]}
    of_image = defaultdict(list)
    for annotation in records["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for image in records["images"]:
        annotations = of_image[image["id"]]
        with Image.open(data / image["file_name"]) as file:
            pixels = np.asarray(file.convert("RGB"))
        boxes = np.array([a["bbox"] for a in annotations], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        scale = side / min(pixels.shape[:2])
        picture = (torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255 - mean) / std
        enlarged = functional.interpolate(picture[None], scale_factor=scale, mode="bilinear", antialias=True)
        corners = np.column_stack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])]).astype(int).tolist()
        vectors = {
            "crop": clip.encode_images([pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in corners]),
            "region": encoder(stages(enlarged)["0"], [torch.from_numpy(boxes) * scale]).numpy(),
        }
        for way, found in vectors.items():
            for annotation, best in zip(annotations, (found @ texts.T).argmax(1).tolist(), strict=True):
                hit = best == rows[names[annotation["category_id"]]]
                for style in ("all", annotation["style"]):
                    hits[style, way].append(hit)
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    for (style, way), found in sorted(hits.items()):
        shares[style][way] = round(float(np.mean(found)), 3)
        shares[style]["boxes"] = len(found)
    return dict(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("datasets/minilvis"))
    parser.add_argument("--clip", default="mini", help="as of `mosaicfusion semantics`")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    shares = named_right(given.clip, given.data)
    print("| style | boxes | crop | region |\n|---|---|---|---|")
    for style, found in shares.items():
        print(f"| {style} | {found['boxes']:.0f} | {found['crop']:.3f} | {found['region']:.3f} |")
    write_results(given.json, {"top1": shares})


if __name__ == "__main__":
    main()
