"""Cost of the bilateral solver with a dense matrix, literally as in the paper, and of ours, by the size of a region.

    OMP_NUM_THREADS=1 python -m benchmarks.dense_solver --json benchmarks/results/dense_solver.json

One refinement of one mask, two rounds, on the rendered shapes of `benchmarks/bilateral.py`; CPU seconds of one thread,
and the peak of numpy's allocations. The dense matrix has a row for each occupied cell of the bilateral grid, so its size
is quadratic.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bilateral import render_shape
from benchmarks.mini_model.common import write_results
from benchmarks.naive import ROUNDS, solve_densely
from mosaicfusion.masks.bilateral import BilateralSolver, refine_mask

SIDES_PX = (64, 96, 128, 192, 256)


def refine_densely(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Refine a mask by the naive solver."""
    for _ in range(ROUNDS):
        soft = solve_densely(image, mask)
        mask = soft > 0.5 * soft.max()
    return mask


def cost(call: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and peak MiB; measured separately, because tracing takes time."""
    start = time.process_time()
    call()
    seconds = time.process_time() - start
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    print("| region | grid cells | dense: time | memory | ours: time | memory |\n|---|---|---|---|---|---|")
    for side in SIDES_PX:
        image, _, mask = render_shape("star", (side, side), np.random.default_rng(0))
        cells = len(BilateralSolver(image)._pixels)
        dense = cost(partial(refine_densely, mask, image))
        ours = cost(partial(refine_mask, mask, image))
        rows.append({"side_px": side, "cells": cells, "dense_s_mib": dense, "ours_s_mib": ours})
        timed = " | ".join(f"{seconds:.2f} s | {mib:.0f} MiB" for seconds, mib in (dense, ours))
        print(f"| {side} x {side} | {cells} | {timed} |", flush=True)
    write_results(args.json, {"rows": rows})


if __name__ == "__main__":
    main()
