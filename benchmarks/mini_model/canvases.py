"""A sheet of canvases of four regions, plain and with their masks, picked at random: the first of one seed.

    python -m benchmarks.mini_model.canvases --out docs/images/mini-canvases.jpg

Drawn as `mosaicfusion generate` draws them with its defaults, every category in turn, rejected regions crossed out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.mini_model.common import parser
from mosaicfusion.diffusion.registry import load_backend
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.recording import extract_record
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.report.drawing import render_instances, resize
from mosaicfusion.report.sheet import instances

ACROSS, SCALE = 4, 1.5


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--count", type=int, default=12)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    backend = load_backend(find_model(given.pipeline), "cpu", "float32")
    config = make_config("mini", {"seed": given.seed})
    categories = vocabulary_for("mini")
    plan = Plan(config, categories, categories, backend.latent_factor)
    pairs = []
    for start in range(0, given.count, 4):
        for drawn in sample_canvases(backend, [plan.spec(i) for i in range(start, start + 4)], config):
            assert drawn.image is not None
            masked = render_instances(drawn.image, instances(extract_record(drawn, config)), SCALE)
            pairs.append(np.concatenate([resize(drawn.image, masked.shape[:2]), masked]))
    rows = [np.concatenate(pairs[start : start + ACROSS], axis=1) for start in range(0, len(pairs), ACROSS)]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(given.out)


if __name__ == "__main__":
    main()
