"""A sheet of canvases of four regions, without and with their masks: the first ones of a seed.

    python -m benchmarks.mini_model.canvases --out docs/images/mini-canvases.jpg

Sampled like by `mosaicfusion generate` with its defaults, all categories in turn, with rejected regions crossed out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.mini_model.common import parser
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.recording import extract_record
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.report.images import region_instances
from mosaicfusion.report.overlays import render_instances, resize

ACROSS, SCALE = 4, 1.5


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--count", type=int, default=12)
    cli.add_argument("--seed", type=int, default=1)
    args = cli.parse_args()
    model = load_model(find_model(args.pipeline), "cpu", "float32")
    config = make_config("mini", {"seed": args.seed})
    categories = vocabulary_for("mini")
    plan = Plan(config, categories, categories, model.latent_factor)
    pairs = []
    for start in range(0, args.count, 4):
        specs = [plan.spec(index) for index in range(start, start + 4)]
        for canvas in sample_canvases(model, specs, config):
            assert canvas.image is not None
            masked = render_instances(canvas.image, region_instances(extract_record(canvas, config)), SCALE)
            pairs.append(np.concatenate([resize(canvas.image, masked.shape[:2]), masked]))
    rows = [np.concatenate(pairs[start : start + ACROSS], axis=1) for start in range(0, len(pairs), ACROSS)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(args.out)


if __name__ == "__main__":
    main()
