"""Is what the miniature draws recognised? Top-1 over all categories of a judge that has seen compositions only.

    python -m benchmarks.mini_model.recognition --work build/mini --seeds 8 --sheet docs/images/mini-sheet.jpg

Drawn by the product's sampler with its defaults, every picture counted. The ceiling is the judge's top-1 on held-out
compositions; the goal of the model is 90 % of it. The sheet shows every picture of 40 categories picked at random, those
that the judge named wrong in a red frame.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from benchmarks.mini_model.common import DrawnRegion, draw_regions, parser, write_results
from benchmarks.mini_model.judge import load_judge
from miniature.vocabulary import load_vocabulary

SIDE_PX, LABEL_PX, ACROSS = 72, 96, 2


def sheet(regions: list[DrawnRegion], guesses: np.ndarray, names: list[str], count: int = 40) -> Image.Image:
    """A row of pictures for each of ``count`` categories picked at random, two categories abreast."""
    picked = sorted(
        np.random.default_rng(0).choice(len(names), min(count, len(names)), replace=False), key=names.__getitem__
    )
    rows = {number: [i for i, region in enumerate(regions) if region.number == number] for number in picked}
    width = LABEL_PX + SIDE_PX * max(map(len, rows.values()))
    page = Image.new("RGB", (ACROSS * width, -(-len(picked) // ACROSS) * SIDE_PX), "white")
    pen = ImageDraw.Draw(page)
    for place, (number, members) in enumerate(rows.items()):
        left, top = place % ACROSS * width, place // ACROSS * SIDE_PX
        pen.text((left + 4, top + SIDE_PX // 2 - 6), names[number], fill="black")
        for column, i in enumerate(members):
            x = left + LABEL_PX + column * SIDE_PX
            page.paste(Image.fromarray(regions[i].image).resize((SIDE_PX - 2, SIDE_PX - 2)), (x, top))
            if guesses[i] != number:
                pen.rectangle((x, top, x + SIDE_PX - 3, top + SIDE_PX - 3), outline="red", width=3)
    return page


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sheet", type=Path, help="write the sheet here")
    arguments.add_argument("--seeds", type=int, default=8, help="pictures a category")
    given = arguments.parse_args()
    judge = load_judge(given.work)
    names = [entry.prompt_name for entry in load_vocabulary()]
    total = len(names) * given.seeds
    regions = list(tqdm(draw_regions(given.pipeline, names, given.seeds, {}), total=total, unit="picture"))
    guesses = judge.name([region.image for region in regions])
    if given.sheet:
        sheet(regions, guesses, names).save(given.sheet)
    hits = defaultdict(list)
    for region, guess in zip(regions, guesses, strict=True):
        hits[names[region.number]].append(region.number == guess)
    shares = {name: float(np.mean(found)) for name, found in hits.items()}
    top1 = float(np.mean(list(shares.values())))
    worst = sorted(shares, key=shares.__getitem__)[:16]
    print(f"top-1 {top1:.3f} over {len(names)} categories x {given.seeds} seeds")
    print(f"ceiling {judge.ceiling:.3f} (held-out compositions); reached {top1 / judge.ceiling:.1%} of it")
    print("worst: " + ", ".join(f"{name} {shares[name]:.2f}" for name in worst))
    figures = {"top1": round(top1, 4), "ceiling": round(judge.ceiling, 4), "seeds": given.seeds, "by_category": shares}
    write_results(given.json, figures)


if __name__ == "__main__":
    main()
