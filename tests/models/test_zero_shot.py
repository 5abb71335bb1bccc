"""Texts of categories, averaged over templates."""

import numpy as np
import pytest
from support.colour_clip import ColourClip

from mosaicfusion.categories import Category
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.zero_shot import text_vectors

RED = Category(1, "red_(colour)")


def test_templates_are_averaged_and_checked() -> None:
    (vector,) = text_vectors(ColourClip(), [RED], ["a {name}", "a {name} and blue"])
    blue = 1 / np.sqrt(2)
    assert vector == pytest.approx(np.array([1 + blue, 0, blue]) / np.linalg.norm([1 + blue, 0, blue]), abs=1e-5)
    for template, message in (("a photo", "must hold {name} exactly once"), ("{name} {x}", "unknown field")):
        with pytest.raises(MosaicFusionError, match=message):
            text_vectors(ColourClip(), [RED], [template])
    with pytest.raises(MosaicFusionError, match="there is no template"):
        text_vectors(ColourClip(), [RED], [])
