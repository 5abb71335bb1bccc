from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from mosaicfusion.pasting.duplicates import distinct, fingerprint

RNG = np.random.default_rng(0)
PIXELS = np.asarray(
    Image.fromarray(RNG.integers(0, 255, (5, 4, 3), np.uint8)).resize((60, 80), Image.Resampling.BICUBIC)
)
MASK = np.hypot(*np.mgrid[-40:40, -30:30]) < 35


def test_the_same_instance_encoded_again_or_at_half_its_size_is_nearly_the_same() -> None:
    buffer = BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=75)
    again = np.asarray(Image.open(buffer))
    half = np.asarray(Image.fromarray(PIXELS).resize((30, 40), Image.Resampling.BOX))
    rows = [fingerprint(PIXELS, MASK), fingerprint(again, MASK), fingerprint(half, MASK[::2, ::2])]
    assert distinct(np.stack(rows)) == [0]


def test_other_colours_other_shapes_and_the_mirror_image_differ() -> None:
    rows = [
        fingerprint(PIXELS, MASK),
        fingerprint(255 - PIXELS, MASK),
        fingerprint(PIXELS, np.ones_like(MASK)),
        fingerprint(PIXELS[:, ::-1], MASK),
    ]
    assert distinct(np.stack(rows)) == [0, 1, 2, 3]


def test_what_lies_outside_of_the_mask_does_not_count() -> None:
    other = np.where(MASK[..., None], PIXELS, 255 - PIXELS)
    assert (fingerprint(other, MASK) == fingerprint(PIXELS, MASK)).all()
