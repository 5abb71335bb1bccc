"""Schedulers with few steps: recognised images, masks, and sampling time.

    OMP_NUM_THREADS=1 python -m benchmarks.few_steps --work build/mini --json benchmarks/results/few_steps.json

Randomly chosen categories at the default guidance; metrics like in benchmarks/mini_model/sweep.py. Time is CPU seconds of
sampling, relative to the default, which comes first.
"""

from __future__ import annotations

import time

import numpy as np
from tqdm import tqdm

from benchmarks.mini_model.common import generate_regions, parser, write_results
from benchmarks.mini_model.judge import load_judge
from benchmarks.mini_model.sweep import judge_regions
from miniature.vocabulary import load_vocabulary
from mosaicfusion.generation.presets import make_config

STEPS = {"dpm++": (4, 6, 8, 20), "unipc": (4, 6, 8), "euler": (8, 20), "ddim": (8, 20), "lms": (10,), "pndm": (8,)}


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--categories", type=int, default=24)
    cli.add_argument("--seeds", type=int, default=2)
    args = cli.parse_args()
    judge, default = load_judge(args.work), make_config("mini").sampling
    known = [entry.prompt_name for entry in load_vocabulary()]
    names = sorted(np.random.default_rng(0).choice(known, args.categories, replace=False).tolist())
    cells = [(default.scheduler, default.steps)]
    cells += [(scheduler, steps) for scheduler, counts in STEPS.items() for steps in counts]
    rows: list[dict[str, float | str]] = []
    print(
        "| scheduler | steps | top-1 | with a mask | IoU with GrabCut | time |\n|---|---|---|---|---|---|", flush=True
    )
    for scheduler, steps in tqdm(cells, unit="setting"):
        start = time.process_time()
        sampling = {"scheduler": scheduler, "steps": steps}
        regions = list(generate_regions(args.pipeline, names, args.seeds, {"sampling": sampling}))
        seconds = round((time.process_time() - start) / len(regions), 4)
        row = judge_regions(judge, regions)
        rows.append({"scheduler": scheduler, "steps": steps, **row, "seconds": seconds})
        values = (
            f"{row['top1']:.3f} | {row['kept']:.2f} | {row['iou']:.3f} | x {seconds / float(rows[0]['seconds']):.2f}"
        )
        print(f"| {scheduler} | {steps} | {values} |", flush=True)
    write_results(args.json, {"categories": names, "seeds": args.seeds, "ceiling": judge.ceiling, "settings": rows})


if __name__ == "__main__":
    main()
