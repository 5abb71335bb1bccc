"""Seconds and peak memory of the miniature: one region of 128 px, a canvas of four regions, a batch of eight canvases.

    python -m benchmarks.mini_model.speed

Image, masks and record, like by `generate`, without writing. A new process for each row, since a peak never falls; the
best of five turns after a warm-up.
"""

from __future__ import annotations

import subprocess
import sys
import time

import torch

from benchmarks.machine import forget_peak, peak_mib, resident_mib
from benchmarks.mini_model.common import parser, write_results
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.recording import extract_record
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan

CASES = {"one region of 128 px": ("1x1", 1), "a canvas of 2 x 2 regions": ("2x2", 1), "eight such canvases": ("2x2", 8)}


def measure(pipeline: str, grid: str, batch: int, turns: int) -> tuple[float, float, float]:
    """Shortest time in seconds, peak memory in MiB, and memory before sampling."""
    model = load_model(find_model(pipeline), "cpu", "float32")
    config = make_config("mini", {"layout": {"grids": (grid,)}})
    vocabulary = vocabulary_for("mini")
    plan = Plan(config, vocabulary, vocabulary, model.latent_factor)
    specs = [plan.spec(index) for index in range(batch)]
    before = resident_mib()
    forget_peak()
    seconds = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        for canvas in sample_canvases(model, specs, config):
            extract_record(canvas, config)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]), peak_mib(), before


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--case", choices=CASES, help="one row, in this process")
    cli.add_argument("--turns", type=int, default=5)
    args = cli.parse_args()
    if args.case:
        print(*measure(args.pipeline, *CASES[args.case], args.turns))
        return
    rows = {}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| | time | peak memory | of it for sampling |\n|---|---|---|---|")
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.mini_model.speed", "--case", case, "--turns", str(args.turns)]
        done = subprocess.run([*command, "--pipeline", args.pipeline], check=True, capture_output=True, text=True)
        seconds, peak, before = map(float, done.stdout.split()[-3:])
        rows[case] = {"seconds": round(seconds, 3), "peak_mib": round(peak), "sampling_mib": round(peak - before)}
        print(f"| {case} | {seconds:.2f} s | {peak:.0f} MiB | {peak - before:.0f} MiB |", flush=True)
    write_results(args.json, {"threads": torch.get_num_threads(), "cases": rows})


if __name__ == "__main__":
    main()
