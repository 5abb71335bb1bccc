"""Time of an export, and its memory by the size of the set. Prints a markdown table.

    python -m benchmarks.export runs/fruit --folder /tmp/export --canvases 200,2000

Larger runs are made from an existing one by repeating its canvases; their images are links to the same files. Each export runs in
a process of its own, which reports its time and peak memory. The last row starts from the json of the export to coco.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, peak_mib

FROM_JSON = "webdataset, from coco.json"
EXPORTS = ["webdataset", "hf", "coco", FROM_JSON]  # the last uses the json of the third


def enlarge(source: Path, target: Path, canvases: int) -> None:
    """Make a run with ``canvases`` canvases, by repeating those of another."""
    from mosaicfusion.run.folder import RunFolder

    run = RunFolder.open(source)
    each = -(-canvases // len(run.manifest.categories.main))
    large = RunFolder.open_or_create(target, run.manifest.model_copy(update={"canvases_per_category": each}))
    batch = []
    for index, record in enumerate(islice(cycle(list(run.records())), canvases)):
        name = large.image_name(index)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).hardlink_to(source / str(record.file_name))
        batch.append(replace(record, index=index, file_name=name))
        if len(batch) == 8 or index == canvases - 1:
            large.write_part(batch)
            batch = []


def measure(source: Path, to: str, out: Path, images: Path | None = None) -> tuple[float, float, int]:
    """Seconds, peak memory in MB and images of an export in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.export", str(source), "--export", to, str(out), str(images or "")]
    seconds, peak, count = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return seconds, peak, count


def report_export(source: Path, to: Any, out: str, images: str) -> None:
    """Export, and print seconds, peak memory and images."""
    from mosaicfusion.dataset.export import export

    start = time.perf_counter()
    done = export(source, to, out, images=images or None, policy=None if images else "not_exhaustive")
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, peak_mib() * 2**20 / 1e6, done.images]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a run folder")
    parser.add_argument("--folder", type=Path, help="a new folder on the disk of the run")
    parser.add_argument("--canvases", default="200,2000")
    parser.add_argument("--export", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.export:
        report_export(options.source, *options.export)
        return
    options.folder.mkdir(parents=True)
    counts = [int(count) for count in options.canvases.split(",")]
    rows: dict[str, list[str]] = {name: [] for name in EXPORTS}
    for count in counts:
        run, out, kept = (options.folder / name for name in ("run", "out", "coco"))
        enlarge(options.source, run, count)
        for name, cells in rows.items():
            source, images = (kept / "coco.json", kept) if name == FROM_JSON else (run, None)
            seconds, peak, images_written = measure(source, name.split(",")[0], out, images)
            cells += [f"{images_written / seconds:.0f}/s", f"{peak:.0f} MB"]
            if name == "coco":
                out.rename(kept)
            else:
                shutil.rmtree(out)
        shutil.rmtree(run)
        shutil.rmtree(kept)
    print(f"{machine()}; {datetime.date.today()}\n")
    print("| format | " + " | ".join(f"{count:,} canvases: images | peak memory" for count in counts) + " |")
    print("|---|" + "---|---|" * len(counts))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
