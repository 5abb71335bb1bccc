"""A canvas as a picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mosaicfusion import show
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord

RunOf = Callable[..., RunFolder]
MakeRegion = Callable[..., RegionRecord]


def test_a_canvas_is_rendered_with_its_masks(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([None, [region(0), region(1, "umbrella", "too_small", 3)]])
    kept, rejected = show(run), show(str(run.path), canvas=1)
    assert kept.mode == rejected.mode == "RGB"
    assert kept.size == rejected.size
    assert kept.getcolors(2**20) != rejected.getcolors(2**20)


def test_a_canvas_that_does_not_exist_is_named(run_of: RunOf) -> None:
    with pytest.raises(MosaicFusionError, match="holds no canvas 7"):
        show(run_of([None]), 7)
