"""Weights of another detector: the tensors taken for equal and for other classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.detectors.training.init import StartWeights, TakenWeights, take_weights
from mosaicfusion.errors import MosaicFusionError

RECIPE = load_recipe("mini_centernet2")  # with a federated loss, whose counts are among the weights
HEADS = {f"roi_heads.stages.{stage}.classifier.{part}" for stage in range(3) for part in ("weight", "bias")}
COUNTS = "roi_heads.class_loss.weights"


def classes(*names: str) -> ClassList:
    return ClassList(tuple(DetectorClass(id_, name, "c") for id_, name in enumerate(names, start=1)), "a test")


def build(of: ClassList, count: int) -> nn.Module:
    return build_detector(RECIPE, of, None, [count + k for k in range(len(of))], load_weights=False)


def take(from_: ClassList, to: ClassList) -> tuple[TakenWeights, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    start, model = build(from_, 1).state_dict(), build(to, 50)
    taken = take_weights(StartWeights(Path("other"), start, from_, "0"), model, RECIPE, to, None)
    return taken, start, model.state_dict()


def test_equal_classes_take_all_but_the_counts() -> None:
    report, start, own = take(classes("disc", "bar"), classes("disc", "bar"))
    assert set(report.taken) == own.keys() - {COUNTS}
    assert not report.of_classes and not report.unfit
    assert all(torch.equal(own[name], start[name]) for name in report.taken)
    assert not torch.equal(own[COUNTS], start[COUNTS])


@pytest.mark.parametrize("others", [("bar", "disc"), ("disc", "ring"), ("disc", "bar", "ring")])
def test_heads_of_other_classes_stay(others: tuple[str, ...]) -> None:
    """Also if there are as many, so that their shapes fit."""
    report, start, own = take(classes("disc", "bar"), classes(*others))
    assert set(report.of_classes) == HEADS
    assert not report.unfit
    assert all(torch.equal(own[name], start[name]) for name in own.keys() - HEADS - {COUNTS})
    assert not any(torch.equal(own[name], start[name]) for name in HEADS if name.endswith("weight"))


def test_other_shapes_are_named_and_weights_of_nothing_in_common_refused() -> None:
    own, model = classes("disc", "bar"), build(classes("disc", "bar"), 1)
    weights = {name: value for name, value in model.state_dict().items() if "stages.0" in name}
    some = take_weights(StartWeights(Path("other"), weights, own, "0"), model, RECIPE, own, None)
    assert set(some.taken) == weights.keys()
    assert set(some.unfit) == model.state_dict().keys() - weights.keys() - {COUNTS}
    with pytest.raises(MosaicFusionError, match="no weights of other fit"):
        take_weights(StartWeights(Path("other"), {"x": torch.zeros(1)}, own, "0"), model, RECIPE, own, None)
