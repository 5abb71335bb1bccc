"""What the bilateral solver costs as a dense matrix, as written down in the paper's terms, and as ours, by the size of a region.

    OMP_NUM_THREADS=1 python -m benchmarks.dense_solver --json benchmarks/results/dense_solver.json

One refinement of one mask, two rounds, on the made-up pictures of `benchmarks/bilateral.py`; CPU seconds of one thread, peak of
what numpy allocates. The dense matrix has a row for each occupied cell of the bilateral grid, so it grows with the square.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bilateral import draw
from benchmarks.mini_model.common import write_results
from benchmarks.naive import ROUNDS, solve_densely
from mosaicfusion.masks.bilateral import BilateralSolver, refine_mask

SIDES_PX = (64, 96, 128, 192, 256)


def refine_densely(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The naive way's rounds."""
    for _ in range(ROUNDS):
        soft = solve_densely(image, mask)
        mask = soft > 0.5 * soft.max()
    return mask


def cost(call: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds and peak MiB; measured apart, for tracing takes time."""
    begun = time.process_time()
    call()
    seconds = time.process_time() - begun
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    print("| region | grid cells | dense: time | memory | ours: time | memory |\n|---|---|---|---|---|---|")
    for side in SIDES_PX:
        image, _, mask = draw("star", (side, side), np.random.default_rng(0))
        cells = len(BilateralSolver(image)._pixels)
        dense = cost(lambda m=mask, i=image: refine_densely(m, i))
        ours = cost(lambda m=mask, i=image: refine_mask(m, i))
        rows.append({"side_px": side, "cells": cells, "dense_s_mib": dense, "ours_s_mib": ours})
        timed = " | ".join(f"{seconds:.2f} s | {mib:.0f} MiB" for seconds, mib in (dense, ours))
        print(f"| {side} x {side} | {cells} | {timed} |", flush=True)
    write_results(given.json, {"rows": rows})


if __name__ == "__main__":
    main()
