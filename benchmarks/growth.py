"""Growth of cost: seconds per region and peak memory by regions, steps, batch size and number of canvases.

    python -m benchmarks.growth --json benchmarks/results/growth.json --plot docs/images/growth.png

`generate` with the bundled model, each row in a process of its own; seconds without loading the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_mib
from benchmarks.mini_model.common import write_results
from mosaicfusion import generate, make_config, vocabulary_for
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.profiling import profiled

DEFAULT = {"grid": "2x2", "side": 128, "steps": 10, "batch": 8, "canvases": 8}
ROWS: dict[str, list[Any]] = {
    "grid": ["1x1", "1x2", "2x2", "2x3", "3x3"],
    "side": [64, 96, 128, 192],
    "steps": [5, 10, 20, 40],
    "batch": [1, 2, 4, 8, 16],
    "canvases": [8, 16, 32, 64],
}


def measure(setting: dict[str, Any]) -> dict[str, float]:
    """Seconds and MiB of one setting, in this process."""
    side = setting["side"]
    overrides = {
        "layout": {"grids": (setting["grid"],), "region_hw_px": (side, side), "group_size": 16},
        "sampling": {"steps": setting["steps"]},
    }
    categories = [category.name for category in list(vocabulary_for("mini"))[: setting["canvases"]]]
    with tempfile.TemporaryDirectory() as folder, profiled() as profile:
        config = make_config("mini", overrides)
        device = DeviceOptions(batch_size=setting["batch"])
        generate(categories, out=Path(folder) / "run", canvases_per_category=1, config=config, device=device)
    loading = sum(total.seconds for total in profile.totals() if total.name == "load the model")
    return {"seconds": profile.seconds - loading, "peak_mib": peak_mib()}


def regions(setting: dict[str, Any]) -> int:
    """Number of regions of all canvases."""
    rows, columns = setting["grid"].split("x")
    return int(setting["canvases"]) * int(rows) * int(columns)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot seconds per region, with a panel for each quantity."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(ROWS), figsize=(13, 2.8), layout="constrained")
    for axes, varied in zip(panels, ROWS, strict=True):
        in_panel = [row for row in rows if row["varied"] == varied]
        seconds = [row["seconds"] / regions(row) for row in in_panel]
        axes.plot([str(row[varied]) for row in in_panel], seconds, "o-")
        axes.set(xlabel=varied, ylim=(0, 1.1 * max(seconds)), ylabel="seconds per region" if varied == "grid" else "")
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one)))
        return
    rows = []
    print("| varied | value | s per region | peak memory |\n|---|---|---|---|")
    for varied, values in ROWS.items():
        for value in values:
            setting = {**DEFAULT, varied: value}
            command = [sys.executable, "-m", "benchmarks.growth", "--one", json.dumps(setting)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = {"varied": varied, **setting, **json.loads(done.stdout.splitlines()[-1])}
            rows.append(row)
            seconds = row["seconds"] / regions(setting)
            print(f"| {varied} | {value} | {seconds:.2f} s | {row['peak_mib']:.0f} MiB |", flush=True)
    write_results(args.json, {"default": DEFAULT, "rows": rows})
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
