"""Guidance and steps: their effect on recognition, masks and time.

    python -m benchmarks.mini_model.sweep --work build/mini

Forty randomly chosen categories, two images each, for guidance 1 to 10 at the default steps and 5 to 50 steps at the default
guidance. Generated images have no exact alpha: IoU is with GrabCut, prompted with the mask's box, over the kept masks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.mini_model.common import GeneratedRegion, generate_regions, parser, write_results
from benchmarks.mini_model.judge import Judge, load_judge
from miniature.vocabulary import load_vocabulary
from mosaicfusion.generation.presets import make_config
from mosaicfusion.masks import rle
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import load_annotator

GUIDANCE = (1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0)
STEPS = (5, 10, 15, 20, 30, 50)


def measure(judge: Judge, pipeline: str, names: list[str], seeds: int, sampling: dict[str, Any]) -> dict[str, float]:
    """Metrics of :func:`judge_regions`, and seconds of sampling per image."""
    started = time.perf_counter()
    regions = list(generate_regions(pipeline, names, seeds, {"sampling": sampling}))
    seconds = (time.perf_counter() - started) / len(regions)
    return {**judge_regions(judge, regions), "seconds": round(seconds, 4)}


def judge_regions(judge: Judge, regions: Sequence[GeneratedRegion]) -> dict[str, float]:
    """Metrics: top1 accuracy, kept (share of regions with a mask), iou with GrabCut."""
    config, grabcut, ious = make_config("mini"), load_annotator("grabcut"), []
    for region in regions:
        mask = extract_mask(region.sums, region.image, config.masks).mask
        if mask is not None:
            ious.append(mask_iou(mask, grabcut.segment(region.image, [rle.box_xywh(mask)])[0]))
    correct = judge.classify([region.image for region in regions]) == [region.number for region in regions]
    metrics = {"top1": np.mean(correct), "kept": len(ious) / len(regions), "iou": np.mean(ious) if ious else 0.0}
    return {name: round(float(value), 4) for name, value in metrics.items()}


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--categories", type=int, default=40)
    cli.add_argument("--seeds", type=int, default=2)
    args = cli.parse_args()
    judge = load_judge(args.work)
    known = [entry.prompt_name for entry in load_vocabulary()]
    names = sorted(np.random.default_rng(0).choice(known, args.categories, replace=False).tolist())
    default = make_config("mini").sampling
    settings = [(guidance, default.steps) for guidance in GUIDANCE]
    settings += [(default.guidance, steps) for steps in STEPS if steps != default.steps]
    rows = []
    print(
        "| guidance | steps | top-1 | with a mask | IoU with GrabCut | s per image |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for guidance, steps in tqdm(settings, unit="setting"):
        row = measure(judge, args.pipeline, names, args.seeds, {"guidance": guidance, "steps": steps})
        rows.append({"guidance": guidance, "steps": steps, **row})
        cells = f"{row['top1']:.3f} | {row['kept']:.2f} | {row['iou']:.3f} | {row['seconds']:.2f}"
        print(f"| {guidance:g} | {steps} | {cells} |", flush=True)
    write_results(args.json, {"categories": names, "seeds": args.seeds, "ceiling": judge.ceiling, "settings": rows})


if __name__ == "__main__":
    main()
