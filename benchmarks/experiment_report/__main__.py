"""Command line of the report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.experiment_report.figure import FIGURE, plot
from benchmarks.experiment_report.page import PAGE, render
from benchmarks.experiment_report.results import RESULTS, collect, read_all
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.table import make_rows


def main() -> None:
    """Collect results, or write the page and its figure."""
    parser = argparse.ArgumentParser(description="docs/results.md and its figure")
    parser.add_argument("--collect", type=Path, metavar="EXP", help="folder of an experiment")
    parser.add_argument("--command", default="mosaicfusion experiment minilvis", help="the command it was run by")
    options = parser.parse_args()
    try:
        if options.collect:
            print(f"{collect(options.collect, options.command)} results in {RESULTS}")
            return
        results, about = read_all()
        PAGE.write_text(render(results, about), encoding="utf-8")
        plot(make_rows(results), FIGURE)
        print(f"written: {PAGE} and {FIGURE}")
    except MosaicFusionError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
