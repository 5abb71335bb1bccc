"""Records of canvases: what is seen of objects that hide each other, at the size that is delivered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_configs import CATEGORIES, scene_config

from mosaicfusion.diffusion.sampler import SampledCanvas
from mosaicfusion.generation.recording import extract_record, shrink
from mosaicfusion.layouts.geometry import Blend, Canvas, Region
from mosaicfusion.masks import rle
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt
from mosaicfusion.run.records import CanvasRecord

CONFIG = scene_config(masks={"refine": False, "min_area": 0.05})
HW = (64, 64)


def sampled_with(*regions: Region, scale: int = 1) -> SampledCanvas:
    """A canvas whose attention finds the middle half of each region."""
    count = len(regions)
    blend = Blend(variance=0.04, front=2, background=0.02)
    spec = CanvasSpec(0, Canvas(HW, regions, blend, scale), tuple(CATEGORIES)[:count], ("",) * count, ("",) * count, 0)
    sums = []
    for region in regions:
        height, width = region.hw[0] // 2, region.hw[1] // 2
        heat = np.zeros((height, width), np.float32)
        heat[height // 4 : -(height // 4), width // 4 : -(width // 4)] = 1
        sums.append({2: heat})
    prompts = tuple(Prompt(category.name, (1,)) for category in spec.categories)
    return SampledCanvas(spec, prompts, np.full((*HW, 3), 128, np.uint8), tuple(sums))


def test_an_object_in_front_is_cut_out_of_the_one_behind() -> None:
    record = extract_record(sampled_with(Region(0, 0, 48, 48), Region(16, 16, 64, 64)), CONFIG)
    behind, front = record.regions
    assert front.amodal_segmentation is None
    assert behind.segmentation is not None and behind.amodal_segmentation is not None and front.segmentation is not None
    seen, whole = rle.decode(behind.segmentation), rle.decode(behind.amodal_segmentation)
    assert np.array_equal(seen, whole & ~rle.decode(front.segmentation))
    assert behind.area == seen.sum() < whole.sum()
    assert behind.box_xywh == tuple(rle.box_xywh(seen))
    assert CanvasRecord.from_line(record.to_line()) == record


def test_an_object_that_is_hidden_too_far_is_rejected_with_the_part() -> None:
    regions = Region(0, 0, 32, 32), Region(0, 0, 32, 32)
    behind, front = extract_record(sampled_with(*regions), CONFIG).regions
    assert front.kept
    assert (behind.reason, behind.values) == ("hidden", {"hidden": 1.0})
    assert behind.segmentation is None and behind.quality is None


def test_regions_of_a_mosaic_may_overlap() -> None:
    sampled = sampled_with(Region(0, 0, 48, 48), Region(16, 16, 64, 64))
    flat = replace(sampled, spec=replace(sampled.spec, canvas=replace(sampled.spec.canvas, blend=Blend())))
    assert all(region.amodal_segmentation is None for region in extract_record(flat, CONFIG).regions)


def test_everything_is_delivered_at_the_smaller_size() -> None:
    region = Region(16, 0, 64, 48)
    large = extract_record(sampled_with(region), CONFIG)
    small = extract_record(sampled_with(region, scale=2), CONFIG)
    assert small.hw_px == (32, 32)
    assert small.regions[0].region_xywh == (0, 8, 24, 24)
    assert small.regions[0].area == pytest.approx(large.regions[0].area / 4, rel=0.1)
    small.check()


def test_a_smaller_image_has_the_means_of_its_pixels(tmp_path: Path) -> None:
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert shrink(image, 1) is image
    half = shrink(image, 2)
    assert half.shape == (1, 2, 3)
    assert half[0, 0].tolist() == np.rint(image[:, :2].mean(axis=(0, 1))).astype(int).tolist()
