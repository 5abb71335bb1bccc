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
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.mini_model.common import write_results
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.detectors.models.fvlm import FrozenResNet, RegionEncoder
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.clip import load_clip
from mosaicfusion.models.zero_shot import TEMPLATES, text_vectors


@torch.inference_mode()
def measure(name: str, data: Path) -> dict[str, dict[str, float]]:
    """Accuracy over the categories of the set, in [0, 1], by style and method."""
    clip, side = load_clip(name, "cpu"), load_recipe("mini_fvlm").data.test_side_px
    tower = clip.image_tower
    stages, encoder = FrozenResNet(tower, [32]), RegionEncoder(tower.attnpool)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (tower.image_mean, tower.image_std))
    records = json.loads((data / "val.json").read_text(encoding="utf-8"))
    vocabulary = list(vocabulary_for("mini", None, data / "val.json"))
    texts = text_vectors(clip, vocabulary, TEMPLATES)
    rows = {category.name: row for row, category in enumerate(vocabulary)}
    names = {category["id"]: category["name"] for category in records["categories"]}
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in records["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for image in records["images"]:
        annotations = by_image[image["id"]]
        with Image.open(data / image["file_name"]) as file:
            pixels = np.asarray(file.convert("RGB"))
        boxes = np.array([a["bbox"] for a in annotations], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        scale = side / min(pixels.shape[:2])
        normalised = (torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255 - mean) / std
        enlarged = functional.interpolate(normalised[None], scale_factor=scale, mode="bilinear", antialias=True)
        corners = np.column_stack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])]).astype(int).tolist()
        vectors = {
            "crop": clip.encode_images([pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in corners]),
            "region": encoder(stages(enlarged)["0"], [torch.from_numpy(boxes) * scale]).numpy(),
        }
        for method, features in vectors.items():
            for annotation, best in zip(annotations, (features @ texts.T).argmax(1).tolist(), strict=True):
                hit = best == rows[names[annotation["category_id"]]]
                for style in ("all", annotation["style"]):
                    hits[style, method].append(hit)
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    for (style, method), correct in sorted(hits.items()):
        shares[style][method] = round(float(np.mean(correct)), 3)
        shares[style]["boxes"] = len(correct)
    return dict(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("datasets/minilvis"))
    parser.add_argument("--clip", default="mini", help="like for `mosaicfusion semantics`")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    shares = measure(args.clip, args.data)
    print("| style | boxes | crop | region |\n|---|---|---|---|")
    for style, row in shares.items():
        print(f"| {style} | {row['boxes']:.0f} | {row['crop']:.3f} | {row['region']:.3f} |")
    write_results(args.json, {"top1": shares})


if __name__ == "__main__":
    main()
