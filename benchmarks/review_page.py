"""The review page over many canvases: time to open, to answer, and memory.

    python -m benchmarks.review_page --json benchmarks/results/review_page.json

A made-up run of canvases with four objects each, without images. Opening reads all records; answers are those of the server,
without a browser: the slowest of each kind.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from benchmarks.machine import forget_peak, machine, peak_mib
from benchmarks.scale_records import make_run
from mosaicfusion.review.desk import Desk
from mosaicfusion.review.server import make_app
from mosaicfusion.review.trial import Trial
from mosaicfusion.run.folder import RunFolder

HOST = "127.0.0.1:8765"


def slowest(do: Callable[[], object], times: int) -> float:
    """Milliseconds of the slowest of some calls."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        do()
        found.append(1000 * (time.perf_counter() - start))
    return max(found)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--json", type=Path, help="also write the results here")
    cli.add_argument("--canvases", type=int, default=100_000)
    args = cli.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder) / "run", args.canvases)
        forget_peak()
        start = time.perf_counter()
        desk = Desk(RunFolder.open(Path(folder) / "run"), "benchmark")
        desk.refresh()
        rows = {"open_s": time.perf_counter() - start}
        client = TestClient(make_app(desk, Trial(), "token", frozenset({HOST})), base_url=f"http://{HOST}")
        client.get("/?token=token")

        def decide() -> None:
            places = [[int(rng.integers(args.canvases)), 0]]
            client.post("/api/decide", json={"verdict": "reject", "places": places}, headers={"x-review": "1"})

        asked = {
            "state_ms": lambda: client.get("/api/state"),
            "sorted_ms": lambda: client.get("/api/objects?sort=score&order=descending"),
            "filtered_ms": lambda: client.get("/api/objects?category=category_7&sort=size&least=0.1"),
            "far_page_ms": lambda: client.get(f"/api/objects?offset={3 * args.canvases}"),
            "canvas_ms": lambda: client.get(f"/api/canvas/{int(rng.integers(args.canvases))}"),
            "decide_ms": decide,
        }
        rows |= {name: slowest(do, 20) for name, do in asked.items()}
        rule = {"verdict": "reject", "query": {"category": "category_7"}}
        rows["rule_ms"] = slowest(lambda: client.post("/api/decide", json=rule, headers={"x-review": "1"}), 3)
        rows["peak_mib"] = peak_mib()
    print("\n".join(f"{name:12} {value:8.1f}" for name, value in rows.items()))
    if args.json:
        about = {"date": str(datetime.date.today()), "machine": machine(), "canvases": args.canvases}
        args.json.write_text(json.dumps({**about, "objects": len(desk.objects), **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
