"""Time and memory of merging, validation and statistics, also of merging by plain ``json``. Prints a markdown table.

    python -m benchmarks.merge --folder /tmp/merge --scales 0.01,0.1,1

Scale 1 is a file of the size and shape of LVIS v1's training set: 1,270,141 annotations of 866 bytes on average in 1203
categories and 100,170 images, 1.1 GB. A run of 1000 canvases with 4 objects each is merged in; plain ``json`` loads all of it,
appends, counts and dumps. Each job runs in a process of its own, which reports wall time, CPU time and peak memory. All use one
core; on a busy machine, CPU time is more reliable.
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, peak_mib

IMAGES, ANNOTATIONS, CATEGORIES = 100_170, 1_270_141, 1203
FREQUENCIES = {"r": 337, "c": 461, "f": 405}
NUMBERS = 90  # of coordinates in an annotation, on average
CANVASES = 1000


def make_categories() -> list[dict[str, Any]]:
    """Categories with LVIS' frequencies."""
    frequencies = [frequency for frequency, count in FREQUENCIES.items() for _ in range(count)]
    return [
        {"id": i, "name": f"thing_{i}", "synonyms": [f"thing_{i}", f"object_{i}"], "synset": f"thing_{i}.n.01",
         "def": "a thing of this kind, as the dictionary has it", "frequency": frequencies[i - 1],
         "image_count": 0, "instance_count": 0}
        for i in range(1, CATEGORIES + 1)
    ]  # fmt: skip


def make_masks(rng: np.random.Generator, count: int = 2000) -> list[str]:
    """Polygons of very different lengths, like those of annotators, with box and area."""
    masks = []
    for _ in range(count):
        corners = int(np.clip(rng.lognormal(np.log(NUMBERS / 2) - 0.4, 0.9), 3, 400))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(4, 100) * rng.uniform(0.8, 1, corners)
        x, y = np.round(320 + radius * np.cos(angles), 2), np.round(240 + radius * np.sin(angles), 2)
        box = [round(float(v), 2) for v in (x.min(), y.min(), np.ptp(x), np.ptp(y))]
        area = round(abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2, 2)
        polygon = np.stack([x, y], axis=1).ravel().tolist()
        masks.append(f'"segmentation": {json.dumps([polygon])}, "bbox": {json.dumps(box)}, "area": {area}')
    return masks


def write_real(path: Path, scale: float) -> None:
    """Write a json of the size and shape of LVIS' training set times ``scale``."""
    rng = np.random.default_rng(0)
    masks, images = make_masks(rng), max(1, round(IMAGES * scale))
    image = (
        '{{"id": {0}, "coco_url": "http://images.cocodataset.org/train2017/{0:012d}.jpg", "height": 480, "width": 640, '
    )
    image += '"license": 3, "flickr_url": "http://farm9.staticflickr.com/8035/{0}_1cf6a8d0_z.jpg", '
    image += (
        '"date_captured": "2013-11-17 02:14:35", "neg_category_ids": [899, 127], "not_exhaustive_category_ids": [914]}}'
    )
    with path.open("w") as file:
        file.write('{"info": {"description": "synthetic"}, "licenses": [], "images": [')
        file.write(", ".join(image.format(i) for i in range(1, images + 1)))
        file.write('], "annotations": [')
        categories = np.minimum(CATEGORIES, rng.zipf(1.3, round(ANNOTATIONS * scale)))
        image_ids = rng.integers(1, images + 1, categories.size)
        rows = zip(image_ids, categories, rng.integers(0, len(masks), categories.size), strict=True)
        for number, (image_id, category_id, mask) in enumerate(rows, start=1):
            head = ", " if number > 1 else ""
            file.write(f'{head}{{"id": {number}, "image_id": {image_id}, "category_id": {category_id}, {masks[mask]}}}')
        file.write('], "categories": ' + json.dumps(make_categories()) + "}")


def write_run(path: Path) -> None:
    """Make a run of rare categories whose regions all have the same mask."""
    from mosaicfusion.categories import Category
    from mosaicfusion.generation.presets import make_config
    from mosaicfusion.masks import rle
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.manifest import Manifest, ModelIdentity, RunCategories
    from mosaicfusion.run.records import CanvasRecord, RegionRecord

    names = [category["name"] for category in make_categories()[: FREQUENCIES["r"]]]
    categories = RunCategories(main=tuple(Category(i, name) for i, name in enumerate(names)), partners=())
    manifest = Manifest(
        config=make_config(), categories=categories, model=ModelIdentity(digest="0"), canvases_per_category=3
    )
    run = RunFolder.open_or_create(path, manifest)
    disc = np.hypot(*np.ogrid[-256:256, -384:384]) < 80
    left, top, width, height = rle.box_xywh(disc)
    region = RegionRecord(
        0, "", "", (0, 0, 768, 512), score=0.5, area=rle.area(disc), box_xywh=(left, top, width, height),
        segmentation=dict(rle.encode(disc)),
    )  # fmt: skip

    def regions(canvas: int) -> tuple[RegionRecord, ...]:
        numbers = [(canvas + k) % len(names) for k in range(4)]
        return tuple(replace(region, category_id=number, category=names[number]) for number in numbers)

    run.write_part([CanvasRecord(i, disc.shape, i, run.image_name(i), regions(i)) for i in range(CANVASES)])


def merge_ours(real: Path, run: Path, out: Path) -> None:
    """Merge by the package."""
    from mosaicfusion.dataset.merge.merge import merge

    merge(real, [run], out)


def merge_plain(real: Path, run: Path, out: Path) -> None:
    """Merge by the usual script: everything in memory as Python objects."""
    from mosaicfusion.dataset.reader import open_dataset

    dataset = open_dataset(run)
    samples = list(dataset)
    with real.open() as file:
        data = json.load(file)
    ids = {category["name"]: category["id"] for category in data["categories"]}
    own = {category["id"]: ids[category["name"]] for category in dataset.categories}
    image_offset = max(image["id"] for image in data["images"])
    annotation_offset = max(annotation["id"] for annotation in data["annotations"])
    data["images"] += [{**s.record, "id": s.record["id"] + image_offset} for s in samples]
    data["annotations"] += [
        {
            **a,
            "id": a["id"] + annotation_offset,
            "image_id": a["image_id"] + image_offset,
            "category_id": own[a["category_id"]],
        }
        for sample in samples
        for a in sample.annotation_records
    ]
    instances = Counter(a["category_id"] for a in data["annotations"])
    images = Counter(c for c, _ in {(a["category_id"], a["image_id"]) for a in data["annotations"]})
    for category in data["categories"]:
        category |= {"instance_count": instances[category["id"]], "image_count": images[category["id"]]}
    with out.open("w") as file:
        json.dump(data, file)


def check(real: Path, *_: Path) -> None:
    """Validate the real set."""
    from mosaicfusion.dataset.validate.validate import validate

    validate(real)


def count(real: Path, *_: Path) -> None:
    """Count the real set."""
    from mosaicfusion.dataset.stats import read_stats

    read_stats(real)


Job = Callable[[Path, Path, Path], None]
JOBS: dict[str, Job] = {
    "merge": merge_ours,
    "merge by plain json": merge_plain,
    "validate": check,
    "stats": count,
}


def measure(job: str, *paths: Path) -> str:
    """Time and peak memory of a job in a process of its own, as a cell of the table."""
    command = [sys.executable, "-m", "benchmarks.merge", "--job", job, *map(str, paths)]
    clock, core, peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return f"{clock:.1f} s ({core:.1f} s), {peak:.2f} GB"


def report_job(job: str, real: str, run: str, out: str) -> None:
    """Run a job, and print wall time, CPU time and peak memory."""
    start = time.perf_counter()
    JOBS[job](Path(real), Path(run), Path(out))
    clock = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([clock, usage.ru_utime + usage.ru_stime, peak_mib() * 2**20 / 1e9]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a new folder; scale 1 needs 3 GB there temporarily")
    parser.add_argument("--scales", default="0.01,0.1,1", help="sizes, as parts of LVIS v1's training set")
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        report_job(*options.job)
        return
    options.folder.mkdir(parents=True)
    run, real, out = (options.folder / name for name in ("run", "real.json", "out.json"))
    write_run(run)
    print(f"{machine()}; {datetime.date.today()}; {CANVASES} canvases merged in; wall time (CPU time), peak memory\n")
    print("| scale | annotations | file | " + " | ".join(JOBS) + " |")
    print("|---|---|---|" + "---|" * len(JOBS))
    for scale in map(float, options.scales.split(",")):
        write_real(real, scale)
        print(
            f"| {scale:g} | {round(ANNOTATIONS * scale):,} | {real.stat().st_size / 1e9:.2f} GB |", end="", flush=True
        )
        for job in JOBS:
            print(f" {measure(job, real, run, out)} |", end="", flush=True)
            out.unlink(missing_ok=True)
        print()
        real.unlink()


if __name__ == "__main__":
    main()
