"""A strip of the first canvases of a run with their masks.

    python -m benchmarks.run_sheet runs/own --count 4 --out docs/images/own-data.jpg

docs/your-own-data.md makes the run of the picture there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageOps

import mosaicfusion as mf

HEIGHT_PX, GAP_PX = 320, 10


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("run", type=Path)
    cli.add_argument("--count", type=int, default=4)
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    run = mf.RunFolder.open(args.run)
    canvases = [ImageOps.contain(mf.show(run, k), (4 * HEIGHT_PX, HEIGHT_PX)) for k in range(args.count)]
    width = sum(canvas.width + GAP_PX for canvas in canvases) - GAP_PX
    strip, left = Image.new("RGB", (width, HEIGHT_PX), "white"), 0
    for canvas in canvases:
        strip.paste(canvas, (left, 0))
        left += canvas.width + GAP_PX
    args.out.parent.mkdir(parents=True, exist_ok=True)
    strip.save(args.out, quality=90)


if __name__ == "__main__":
    main()
