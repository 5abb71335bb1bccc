"""Cost of reading a training set, and samples per second of one worker process. Prints markdown tables.

    python -m benchmarks.detector_data read --folder /tmp/read --scales 0.01,0.1,1
    python -m benchmarks.detector_data load --folder /tmp/load

``read``: files of the size and shape of LVIS v1's training set times the scale (like in ``merge.py``); memory at the peak
and after reading, minus that of Python and its libraries. ``load``: 64 images of 480 x 640 with 12 or 13 instances each,
LVIS' mean, from JPEG to the tensors of a model's input.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import machine, peak_mib, resident_mib
from benchmarks.merge import ANNOTATIONS, make_categories, make_masks, write_real

IMAGES, INSTANCES, SAMPLES = 64, 12.7, 30
HW = (480, 640)


def read(path: Path) -> dict[str, float]:
    """Seconds and bytes of reading a set."""
    from mosaicfusion.dataset.coco import DatasetFile
    from mosaicfusion.detectors.data.classes import ClassList
    from mosaicfusion.detectors.data.instances import read_images, read_instances

    before, start, core = resident(), time.perf_counter(), time.process_time()
    file = DatasetFile.open(path)
    images = read_images(file)
    instances = read_instances(file, images, ClassList.of(file))
    clock, core = time.perf_counter() - start, time.process_time() - core
    del file
    gc.collect()
    peak = peak_mib() * 2**20
    start = time.process_time()
    for image in range(0, len(images), max(1, len(images) // 50)):
        instances.masks_of(image)
    decoding = (time.process_time() - start) / 50
    return {
        "clock": clock, "core": core, "peak": peak - before, "kept": resident() - before,
        "masks": len(instances.counts) + instances.start.nbytes + instances.labels.nbytes, "decoding": decoding,
    }  # fmt: skip


def resident() -> int:
    """Current memory of this process in bytes."""
    return round(resident_mib() * 2**20)


def report_reading(folder: Path, scales: list[float]) -> None:
    """Print the table of ``read``, each row from a process of its own."""
    print("| scale | annotations | file | time (on the core) | peak | after reading | masks | masks of an image |")
    print("|---|---|---|---|---|---|---|---|")
    for scale in scales:
        path = folder / "real.json"
        write_real(path, scale)
        command = [sys.executable, "-m", "benchmarks.detector_data", "job", "--folder", str(path)]
        costs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        sizes = " | ".join(f"{costs[key] / 1e9:.2f} GB" for key in ("peak", "kept", "masks"))
        print(
            f"| {scale:g} | {round(ANNOTATIONS * scale):,} | {path.stat().st_size / 1e9:.2f} GB | {costs['clock']:.1f} s "
            f"({costs['core']:.1f} s) | {sizes} | {costs['decoding'] * 1e3:.1f} ms |",
            flush=True,
        )
        path.unlink()


def write_images(folder: Path) -> Path:
    """Write images that compress like photographs, to about 100 kB each."""
    rng = np.random.default_rng(0)
    masks, images = make_masks(rng), []
    annotations: list[dict[str, Any]] = []
    for id_ in range(1, IMAGES + 1):
        coarse = Image.fromarray(rng.integers(0, 256, (HW[0] // 8, HW[1] // 8, 3), np.uint8)).resize(HW[::-1], 3)
        noisy = np.asarray(coarse) + rng.normal(0, 8, (*HW, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{id_}.jpg", quality=90)
        images.append({"id": id_, "file_name": f"{id_}.jpg", "height": HW[0], "width": HW[1]})
        for _ in range(rng.poisson(INSTANCES - 1) + 1):
            shape = json.loads("{" + masks[rng.integers(len(masks))] + "}")
            ids = {"id": len(annotations) + 1, "image_id": id_, "category_id": int(rng.integers(1, 1204))}
            annotations.append({**ids, **shape})
    path = folder / "set.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": make_categories()}))
    return path


def report_loading(folder: Path) -> None:
    """Print the table of ``load``."""
    import torch

    from mosaicfusion.detectors.data.copy_paste import CopyPaste
    from mosaicfusion.detectors.data.dataset import DetectionDataset
    from mosaicfusion.detectors.data.mosaic_augmentation import Mosaic
    from mosaicfusion.detectors.data.sampling import RepeatFactorSampler
    from mosaicfusion.detectors.data.transforms import large_scale_jitter, short_side

    torch.set_num_threads(1)  # like in a worker process
    path = write_images(folder)
    plain, jitter = DetectionDataset(path, folder), large_scale_jitter(1024)
    jittered = DetectionDataset(path, folder, jitter)
    sets = {
        "reading only": plain,
        "short side 640 to 800, flip": DetectionDataset(path, folder, short_side(range(640, 801, 32), 1333)),
        "large-scale jitter 1024": jittered,
        "large-scale jitter 1024, Copy-Paste": CopyPaste(jittered),
        "Mosaic, large-scale jitter 1024": Mosaic(plain, 1024, jitter, probability=1),
    }
    print("| samples | on the core | samples/s of one worker |\n|---|---|---|")
    for name, samples in sets.items():
        keys = RepeatFactorSampler(np.ones(IMAGES))
        for key in islice(keys, 3):
            samples[key]
        start = time.process_time()
        for key in islice(keys, SAMPLES):
            samples[key]
        each = (time.process_time() - start) / SAMPLES
        print(f"| {name} | {each * 1e3:.0f} ms | {1 / each:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["read", "load", "job"])
    parser.add_argument(
        "--folder", type=Path, required=True, help="a new folder; scale 1 needs 1.1 GB there temporarily"
    )
    parser.add_argument("--scales", default="0.01,0.1,1", help="sizes, as parts of LVIS v1's training set")
    options = parser.parse_args()
    if options.task == "job":
        print(json.dumps(read(options.folder)))
        return
    options.folder.mkdir(parents=True)
    print(f"{machine()}; {time.strftime('%Y-%m-%d')}\n")
    if options.task == "read":
        report_reading(options.folder, [float(scale) for scale in options.scales.split(",")])
    else:
        report_loading(options.folder)


if __name__ == "__main__":
    main()
