"""Accuracy of a YOLO export's masks as read by Ultralytics. Prints a markdown table.

    pip install ultralytics
    python -m benchmarks.export_yolo runs/fruit

Its data loader reads the export without augmentation. Its masks, which have a quarter of the training size, are compared with the
exact masks of the run, resized in the same way.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from pathlib import Path

import cv2
import numpy as np
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset

from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.reader import open_dataset
from mosaicfusion.masks import rle


def resized(mask: np.ndarray, size: int) -> np.ndarray:
    """Mask bool (H, W) -> bool (size / 4, size / 4), resized via the training size like in the loader."""
    large = cv2.resize(mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(large, (size // 4, size // 4))) > 0


def compare(run: Path, size: int) -> tuple[list[float], float]:
    """Best IoU of each exact mask with the loader's, and the largest error of a box in pixels; for square canvases."""
    ious, errors = [], []
    with tempfile.TemporaryDirectory() as folder:
        export(run, "yolo", Path(folder) / "out", policy="not_exhaustive")
        data = check_det_dataset(str(Path(folder) / "out/data.yaml"))
        loader = YOLODataset(
            img_path=data["train"], data=data, task="segment", imgsz=size, augment=False, hyp=get_cfg()
        )
        exact = {sample.stem: sample for sample in open_dataset(run, policy="not_exhaustive")}
        for index in range(len(loader)):
            item = loader[index]
            sample = exact[Path(item["im_file"]).stem]
            labels = item["masks"].numpy().reshape(size // 4, size // 4)
            boxes = loader.labels[index]["bboxes"] * sample.hw[0]  # centre, width, height
            for annotation in sample.annotations:
                mask = resized(rle.decode(annotation.segmentation("rle")), size)
                masks = [labels == number for number in range(1, labels.max() + 1)]
                ious.append(max(float((mask & other).sum() / (mask | other).sum()) for other in masks))
                left, top, width, height = annotation.record["bbox"]
                box = (left + width / 2, top + height / 2, width, height)
                errors.append(float(np.abs(boxes - box).max(1).min()))
    return ious, max(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run with square canvases")
    parser.add_argument("--sizes", default="256,640,1280", help="training sizes")
    options = parser.parse_args()
    print(f"{datetime.date.today()}\n")
    print("| training size | masks | mean IoU | lowest | largest error of a box |")
    print("|---|---|---|---|---|")
    for size in map(int, options.sizes.split(",")):
        ious, error = compare(options.run, size)
        print(f"| {size} | {len(ious)} | {np.mean(ious):.3f} | {min(ious):.3f} | {error:.4f} px |")


if __name__ == "__main__":
    main()
