"""The miniature's training curve: its loss, and metrics of its weights at several points.

    python -m benchmarks.mini_model.progress --log build/mini/log.jsonl --out docs/images/mini-training.png

Points are JSON files of `recognition --json .../points/NAME-recognition.json` and `localisation --json
.../points/NAME-localisation.json`, where NAME is the number of training samples in thousands, such as 279.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

BEFORE_LOG = 233_000  # samples of the stages without a log
DEFAULT = "1/8, all steps, all blocks (the default)"


def read_points(folder: Path) -> list[dict[str, float]]:
    """Samples, accuracy relative to the judge's ceiling, and IoU of refined masks, in the order of samples."""
    points = []
    for file in sorted(folder.glob("*-recognition.json"), key=lambda path: int(path.stem.split("-")[0])):
        thousands = file.stem.split("-")[0]
        recognition = json.loads(file.read_text(encoding="utf-8"))
        localisation = json.loads((folder / f"{thousands}-localisation.json").read_text(encoding="utf-8"))
        points.append(
            {
                "samples": 1000 * int(thousands),
                "top1": recognition["top1"] / recognition["ceiling"],
                "iou": localisation["iou_otsu_refined"][DEFAULT][1],
            }
        )
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="log.jsonl of the work folder")
    parser.add_argument("--points", type=Path, default=Path("benchmarks/results/mini_model/points"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    log = [json.loads(line) for line in args.log.read_text(encoding="utf-8").splitlines()]
    points = read_points(args.points)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot([(BEFORE_LOG + line["samples"]) / 1000 for line in log], [line["loss"] for line in log], linewidth=0.8)
    left.set(xlabel="thousand samples", ylabel="mean squared error of the velocity", title="Loss")
    samples = [point["samples"] / 1000 for point in points]
    right.plot(samples, [point["top1"] for point in points], "o-", label="recognised, part of the ceiling")
    right.plot(samples, [point["iou"] for point in points], "s-", label="IoU with exact alpha")
    right.set(xlabel="thousand samples", ylim=(0, 1), title="All 158 categories")
    right.legend(loc="lower right", frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=110)
    print("| samples | recognised, of the ceiling | IoU |\n|---|---|---|")
    for point in points:
        print(f"| {point['samples']:,} | {point['top1']:.3f} | {point['iou']:.3f} |")


if __name__ == "__main__":
    main()
