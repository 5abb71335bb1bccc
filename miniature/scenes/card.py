"""The README of MiniLVIS; its figures are counted from the two json files, so they cannot be out of date."""

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
long tail, exact masks. Small enough to train a detector on a CPU. It is a world of drawings: figures on it say what a
method does to a long tail, not what it would do on photos.

    train.json  val.json  images/train/*.jpg  images/val/*.jpg

`file_name` is relative to this folder. Rendered by `miniature/scenes/` of the repository (`python -m miniature.scenes`), every
choice drawn from one seed. Scenes hold up to eight categories, five on average: with fewer, 46 frequent categories in more than
100 images each would take more images than 15 MB hold. For the same reason most frequent ones are just above 100.

## What is in it

{table}

- **Frequency** is LVIS' rule on the training images: up to 10 rare, up to 100 common, more frequent. Which category is which
  was drawn by lot, so the frequencies are not LVIS' own; ids, names and synsets are, definitions are ours.
- **Rare categories show few looks in training** ({rare_styles} styles at most, by lot) and all of them in validation, where
  every category is in equally many images ({val_least} to {val_most} instances each) and its styles take turns.
- **Masks** are the visible pixels: those an object covers by half or more, without what is in front of it. At most
  {most_hidden:.0%} of an object is hidden. They are the renderer's own, not drawn after the fact.
- **Scenes are known in full**: `neg_category_ids` lists every category that an image does not show, so LVIS-style evaluation
  counts every false find; `not_exhaustive_category_ids` is empty. Frequency frequencies of `val.json` are the training set's,
  `image_count` and `instance_count` its own.
- Each annotation also has its `style` and the share of the object that is `hidden` behind others or beyond the frame.
- Objects are mirrored, turned, sheared, scaled ({side}), recoloured, relit;
  they lie on walls, tables, tiles, shelves, noise and a litter of shapes that belong to no category. JPEG at quality 64.

Limits: a category has one drawing in each style, so validation shows the drawings of training anew, but never an unseen drawing
of a frequent category; animals are mostly faces, as in the bundled model, which knows the `fluent-3d` style alone; objects
float, nothing stands on anything; a drawing's extras (water under a boat, rays of a flashlight) belong to its mask.

## Drawings and licences

| style | drawings | licence | from |
|---|---|---|---|
| `fluent-3d` | Fluent Emoji, © Microsoft Corporation | MIT | `@lobehub/fluent-emoji-3d` 1.1.0 |
| `fluent-flat` | Fluent Emoji, © Microsoft Corporation | MIT | `@iconify-json/fluent-emoji-flat` 1.2.6 |
| `noto` | Noto Emoji, © Google LLC | Apache-2.0 | `@iconify-json/noto` 1.2.9 |
| `noto-v1` | Noto Emoji, version 1, © Google LLC | Apache-2.0 | `@iconify-json/noto-v1` 1.2.5 |
| `twemoji` | Twemoji, © Twitter, Inc. and other contributors | CC-BY-4.0 | `@iconify-json/twemoji` 1.2.5 |

Changes made to all of them: rendered to pixels, recoloured, mirrored, turned, sheared, scaled, pasted on backgrounds, partly
covered. `noto-v1` lacks the newer ones. Left out, because they show another object or more than the object:

{unfit}

The scenes and annotations are Apache-2.0 like the repository, as far as they are ours; passing on the images takes the
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


def figures(data: Data) -> dict[str, str]:
    """What the table says of one split."""
    annotations = data["annotations"]
    letter = {category["id"]: category["frequency"] for category in data["categories"]}
    by_letter = Counter(letter[annotation["category_id"]] for annotation in annotations)
    images_of = Counter(letter[k] for k, _ in {(a["category_id"], a["image_id"]) for a in annotations})
    per_image = Counter(annotation["image_id"] for annotation in annotations).values()
    area = np.array([annotation["area"] for annotation in annotations])
    hidden = np.array([annotation["hidden"] for annotation in annotations])
    styles = Counter(annotation["style"] for annotation in annotations)
    return {
        "images": str(len(data["images"])),
        "instances": str(len(annotations)),
        "categories r / c / f": _triple(Counter(letter.values())),
        "instances r / c / f": _triple(by_letter),
        "mean images a category, r / c / f": " / ".join(
            f"{images_of[x] / max(1, sum(v == x for v in letter.values())):.1f}" for x in "rcf"
        ),
        "objects an image, mean (least to most)": f"{len(area) / len(data['images']):.1f} ({min(per_image)} to {max(per_image)})",
        "mean mask area": f"{area.mean():.0f} px",
        "below 32 x 32 / up to 96 x 96 / above": " / ".join(
            f"{share:.0%}"
            for share in ((area < 32**2).mean(), ((area >= 32**2) & (area <= 96**2)).mean(), (area > 96**2).mean())
        ),
        "hidden by more than 5 % / 30 %": f"{(hidden > 0.05).mean():.0%} / {(hidden > 0.3).mean():.0%} of the instances",
        **{f"style `{style}`": f"{styles[style] / len(area):.0%}" for style in STYLES},
    }


def card(train: Data, val: Data) -> str:
    """The README, from what the two json files hold."""
    columns = figures(train), figures(val)
    rows = [f"| {name} | {columns[0][name]} | {columns[1][name]} |" for name in columns[0]]
    area = [annotation["area"] for annotation in train["annotations"]]
    counts = [category["instance_count"] for category in val["categories"]]
    unfit = [f"- `{style}`: {name} ({why})" for style, names in UNFIT.items() for name, why in names.items()]
    return TEXT.format(
        train_images=len(train["images"]),
        val_images=len(val["images"]),
        table="\n".join(["| | train | val |", "|---|---|---|", *rows]),
        rare_styles=RARE_STYLES,
        val_least=min(counts),
        val_most=max(counts),
        most_hidden=MAX_HIDDEN,
        side=f"nine masks in ten have {np.quantile(area, 0.05):.0f} to {np.quantile(area, 0.95):.0f} pixels",
        unfit="\n".join(unfit),
    )


def _triple(counts: Counter[str]) -> str:
    return " / ".join(str(counts[letter]) for letter in "rcf")
