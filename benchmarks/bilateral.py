"""Speed and quality of the refinement, compared with OpenCV's GrabCut. Prints a markdown table.

    taskset -c 0 python -m benchmarks.bilateral --repeats 7

Times are the best of the repeats, on one thread. The images are shapes on textured backgrounds; the coarse mask resembles that of
a 1/16 attention map: the true mask averaged over 16 px cells, shifted by some pixels, and thresholded at 0.5.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from benchmarks.machine import machine
from mosaicfusion.masks.bilateral import refine_mask
from mosaicfusion.masks.iou import mask_iou

SIZES_HW = [(128, 128), (256, 256), (432, 592), (768, 1024)]
SHAPES = ["disc", "box", "star"]


def render_shape(
    shape: str, hw: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render a shape: image uint8 (H, W, 3), its true mask and a coarse mask, bool (H, W)."""
    height, width = hw
    centre = np.array([width, height]) * rng.uniform(0.42, 0.58, 2)
    radius = min(hw) * rng.uniform(0.25, 0.38)
    corners = {"disc": 60, "box": 4, "star": 10}[shape]
    angles = np.arange(corners) * 2 * np.pi / corners + rng.uniform(0, np.pi)
    reach = np.where((np.arange(corners) % 2 == 1) & (shape == "star"), 0.5, 1.0)[:, None]
    outline = centre + radius * reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    truth = cv2.fillPoly(np.zeros(hw, np.uint8), [outline.astype(np.int32)], 1)

    # Object and background each blend two colours, which may be similar; edges are soft.
    blend = cv2.resize(rng.uniform(0, 1, (5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    inside, outside = (first + (last - first) * blend for first, last in rng.uniform(30, 225, (2, 2, 3)))
    alpha = cv2.GaussianBlur(truth.astype(np.float64), (0, 0), 1)[..., None]
    grain = cv2.GaussianBlur(rng.normal(0, 60, hw), (0, 0), 2)[..., None] + rng.normal(0, 4, (*hw, 3))
    image = outside + (inside - outside) * alpha + grain

    cells = cv2.resize(truth.astype(np.float32), (width // 16, height // 16), interpolation=cv2.INTER_AREA)
    shift = np.array([[1, 0, rng.uniform(-8, 8)], [0, 1, rng.uniform(-8, 8)]], np.float32)
    coarse = cv2.warpAffine(cv2.resize(cells, (width, height)), shift, (width, height)) > 0.5
    return np.clip(image, 0, 255).astype(np.uint8), truth.astype(bool), coarse


def grab_cut(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """GrabCut from a coarse mask, bool (H, W)."""
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def best_of(repeats: int, call: Callable[[], object]) -> float:
    """Shortest time of several calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="number of timings, of which the best counts")
    parser.add_argument("--images", type=int, default=12, help="images per size")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # the library itself never sets it
    print(f"{machine()}; {datetime.date.today()}; {options.images} images per size, best of {options.repeats}\n")
    print("| region (h x w) | refine_mask, 2 rounds | GrabCut, 3 iterations | IoU coarse | IoU refined | IoU GrabCut |")
    print("|---|---|---|---|---|---|")
    for hw in SIZES_HW:
        rng = np.random.default_rng(0)
        samples = [render_shape(SHAPES[i % len(SHAPES)], hw, rng) for i in range(options.images)]
        image, _, coarse = samples[0]
        ours = best_of(options.repeats, partial(refine_mask, coarse, image))
        cut = best_of(options.repeats, partial(grab_cut, coarse, image))
        scores = np.mean(
            [[mask_iou(mask, t) for mask in (c, refine_mask(c, x), grab_cut(c, x))] for x, t, c in samples], axis=0
        )
        seconds = f"{ours * 1000:.0f} ms | {cut * 1000:.0f} ms"
        print(f"| {hw[0]} x {hw[1]} | {seconds} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")


if __name__ == "__main__":
    main()
