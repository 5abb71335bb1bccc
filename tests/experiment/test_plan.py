"""The plan: its comparisons, and their fairness."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.experiment.plan import (
    ABLATIONS,
    COMPARED,
    FULL,
    QUICK,
    RECIPES,
    SCENES,
    SYNTHETIC,
    SyntheticSet,
    make_plan,
)


def test_every_detector_is_compared_by_three_seeds() -> None:
    runs = make_plan()
    for detector in RECIPES:
        pairs = {(run.variant.name, run.seed) for run in runs if run.detector == detector}
        assert pairs >= {(name, seed) for name in ("baseline", "synthetic", "scenes") for seed in range(3)}
    assert len({run.name for run in runs}) == len(runs) == 3 * 3 * 3 + len(ABLATIONS)


def test_ablations_come_seed_by_seed_after_the_comparison() -> None:
    names = [run.name for run in make_plan(["mask_rcnn"], seeds=1, ablation_seeds=2)]
    variants = [variant.name for variant in ABLATIONS]
    assert names[3:] == [f"mask_rcnn-{name}-seed{seed}" for seed in (0, 1) for name in variants]
    assert len(make_plan(["mask_rcnn"], seeds=1, ablation_seeds=0)) == len(COMPARED)


def test_only_the_synthetic_data_differs_within_a_pair() -> None:
    runs = make_plan(["fvlm"], seeds=1)
    assert [run.variant.synthetic for run in runs] == [None, SYNTHETIC, SCENES]
    assert all(run.variant.real and run.open_vocabulary and run.variant.steps == 1 for run in runs)


@pytest.mark.parametrize("name", ["one-region", "two-regions"])
def test_as_many_instances_of_the_same_categories_with_fewer_regions(name: str) -> None:
    synthetic = next(variant.synthetic for variant in ABLATIONS if variant.name == name)
    assert synthetic is not None
    assert synthetic.like is SYNTHETIC
    assert sum(part.share for part in synthetic.parts) == 1
    # A rare category leads one region of a 2 x 2 canvas; the other regions show any category.
    led_by_rare = sum(part.share / part.source.regions for part in synthetic.parts if part.source.lead == "r")
    assert led_by_rare == Fraction(1, 4)


def test_ablations_share_sources_unless_images_or_masks_differ() -> None:
    sources = {part.source.name for synthetic in _synthetic_sets() for part in synthetic.parts}
    grids = {"four", "four-unrefined", "one-any", "one-rare", "sixteen", "two-any", "two-rare"}
    assert sources == grids | {"scenes", "tiled-scenes", "dense-scenes", "own-scenes"}


def test_no_more_than_600_canvases_of_rare_categories() -> None:
    assert max(synthetic.canvases_per_category or 0 for synthetic in _synthetic_sets()) * 56 <= 600


def test_quick_is_one_pair() -> None:
    assert [run.name for run in make_plan(quick=True)] == ["mask_rcnn-baseline-seed0", "mask_rcnn-synthetic-seed0"]
    assert QUICK.iterations < FULL.iterations


def test_only_takes_variants_and_runs() -> None:
    assert [run.name for run in make_plan(only=["unrefined"])] == ["mask_rcnn-unrefined-seed0"]
    assert [run.name for run in make_plan(only=["fvlm-synthetic-seed2"])] == ["fvlm-synthetic-seed2"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(MosaicFusionError, match="unknown detector 'yolo'; choose from mask_rcnn, centernet2, fvlm"):
        make_plan(["yolo"])
    with pytest.raises(MosaicFusionError, match=r"'unrefine' is no variant.*nearest: unrefined"):
        make_plan(only=["unrefine"])
    with pytest.raises(MosaicFusionError, match="--scale 0 must be above 0"):
        FULL.times(0)


def test_repeat_factors_begin_where_lvis_does() -> None:
    """At about 100 images: 1e-3 of LVIS' 100,170, and the same share of MiniLVIS' 1371 that 0.07 is."""
    for name in RECIPES.values():
        assert load_recipe(name).data.repeat_threshold * 1371 == pytest.approx(100, abs=10)


def _synthetic_sets() -> list[SyntheticSet]:
    return [run.variant.synthetic for run in make_plan() if run.variant.synthetic is not None]
