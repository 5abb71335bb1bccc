"""The README of MiniLVIS, with numbers counted from its two json files."""

from collections import Counter
from typing import Any

import numpy as np

from miniature.scenes.drawings import STYLES, UNFIT
from miniature.scenes.scene import MAX_HIDDEN
from miniature.scenes.tail import RARE_STYLES

Data = dict[str, Any]

TEXT = """\
# MiniLVIS

A miniature of LVIS: {train_images} training and {val_images} validation scenes of 256 x 256 pixels, 158 categories of LVIS with a
long tail, exact masks. Small enough to train a detector on a CPU. All objects are drawings: results on it show what a method
does to a long tail, not what it would do on photos.

    train.json  val.json  images/train/*.jpg  images/val/*.jpg

`file_name` is relative to this folder. The scenes are rendered by `miniature/scenes/` of the repository (`python -m
miniature.scenes`); every random choice depends on one seed. Scenes have up to eight categories, five on average: with fewer, 46
frequent categories in more than 100 images each would need more than 15 MB. For the same reason most frequent ones are in just
above 100 images.

## Contents

{table}

- **Frequency** is LVIS' rule on the training images: up to 10 rare, up to 100 common, more frequent. The frequency of a category
  was chosen at random and is not that of LVIS; ids, names and synsets are LVIS' own, definitions are ours.
- **Rare categories have few styles in training** (at most {rare_styles}, chosen at random) and all of them in validation. There
  every category is in equally many images ({val_min} to {val_max} instances each), with its styles in turn.
- **Masks** are the visible pixels: those that an object covers by half or more, without the objects in front of it. At most
  {max_hidden:.0%} of an object is hidden. They come from the renderer, not from annotators.
- **Scenes are annotated in full**: `neg_category_ids` lists every category that is absent from an image, so LVIS' evaluation
  counts every false positive; `not_exhaustive_category_ids` is empty. `frequency` in `val.json` is that of the training set,
  `image_count` and `instance_count` are its own.
- Each annotation also has its `style` and the share of the object that is `hidden` behind others or outside the frame.
- Objects are flipped, rotated, sheared, scaled ({side}), recoloured and relit;
  they are on walls, tables, tiles, shelves, noise and random shapes that belong to no category. JPEG at quality 64.

Limits: a category has one drawing in each style, so validation shows the drawings of training again, and never an unseen drawing
of a frequent category; animals are mostly faces, as in the bundled model, which knows the style `fluent-3d` only; objects
float, nothing stands on anything; extras in a drawing (water under a boat, rays of a flashlight) belong to its mask.

## Drawings and licences

| style | drawings | licence | from |
|---|---|---|---|
| `fluent-3d` | Fluent Emoji, © Microsoft Corporation | MIT | `@lobehub/fluent-emoji-3d` 1.1.0 |
| `fluent-flat` | Fluent Emoji, © Microsoft Corporation | MIT | `@iconify-json/fluent-emoji-flat` 1.2.6 |
| `noto` | Noto Emoji, © Google LLC | Apache-2.0 | `@iconify-json/noto` 1.2.9 |
| `noto-v1` | Noto Emoji, version 1, © Google LLC | Apache-2.0 | `@iconify-json/noto-v1` 1.2.5 |
| `twemoji` | Twemoji, © Twitter, Inc. and other contributors | CC-BY-4.0 | `@iconify-json/twemoji` 1.2.5 |

Changes to all of them: rendered to pixels, recoloured, flipped, rotated, sheared, scaled, pasted on backgrounds, partly
covered. `noto-v1` lacks newer ones. Left out, because they show another object or more than the object:

{unfit}

The scenes and annotations are Apache-2.0 like the repository, as far as they are ours; redistributing the images requires the
attributions above ([CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/), Apache-2.0 in the repository's `LICENSE`) and,
for Fluent Emoji, this notice:

> MIT License. Copyright (c) Microsoft Corporation. Permission is hereby granted, free of charge, to any person obtaining a
> copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction,
> including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
> the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions: The
> above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
> WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
> COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
> ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def count(data: Data) -> dict[str, str]:
    """The rows of the table for one split."""
    annotations = data["annotations"]
    frequency = {category["id"]: category["frequency"] for category in data["categories"]}
    instances = Counter(frequency[annotation["category_id"]] for annotation in annotations)
    images = Counter(frequency[k] for k, _ in {(a["category_id"], a["image_id"]) for a in annotations})
    categories = Counter(frequency.values())
    per_image = Counter(annotation["image_id"] for annotation in annotations).values()
    area = np.array([annotation["area"] for annotation in annotations])
    hidden = np.array([annotation["hidden"] for annotation in annotations])
    styles = Counter(annotation["style"] for annotation in annotations)
    sizes = (area < 32**2, (area >= 32**2) & (area <= 96**2), area > 96**2)
    return {
        "images": str(len(data["images"])),
        "instances": str(len(annotations)),
        "categories r / c / f": _triple(categories),
        "instances r / c / f": _triple(instances),
        "mean images per category, r / c / f": " / ".join(f"{images[x] / max(1, categories[x]):.1f}" for x in "rcf"),
        "objects per image, mean (range)": f"{len(area) / len(data['images']):.1f} ({min(per_image)} to {max(per_image)})",
        "mean mask area": f"{area.mean():.0f} px",
        "below 32 x 32 / up to 96 x 96 / above": " / ".join(f"{size.mean():.0%}" for size in sizes),
        "hidden by more than 5 % / 30 %": f"{(hidden > 0.05).mean():.0%} / {(hidden > 0.3).mean():.0%} of the instances",
        **{f"style `{style}`": f"{styles[style] / len(area):.0%}" for style in STYLES},
    }


def card(train: Data, val: Data) -> str:
    """Write the README of the two splits."""
    columns = count(train), count(val)
    rows = [f"| {name} | {columns[0][name]} | {columns[1][name]} |" for name in columns[0]]
    area = [annotation["area"] for annotation in train["annotations"]]
    counts = [category["instance_count"] for category in val["categories"]]
    unfit = [f"- `{style}`: {name} ({reason})" for style, names in UNFIT.items() for name, reason in names.items()]
    return TEXT.format(
        train_images=len(train["images"]),
        val_images=len(val["images"]),
        table="\n".join(["| | train | val |", "|---|---|---|", *rows]),
        rare_styles=RARE_STYLES,
        val_min=min(counts),
        val_max=max(counts),
        max_hidden=MAX_HIDDEN,
        side=f"nine masks in ten have {np.quantile(area, 0.05):.0f} to {np.quantile(area, 0.95):.0f} pixels",
        unfit="\n".join(unfit),
    )


def _triple(counts: Counter[str]) -> str:
    return " / ".join(str(counts[frequency]) for frequency in "rcf")
