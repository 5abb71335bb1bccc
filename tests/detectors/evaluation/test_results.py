"""From a model's output to a results file and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.detectors.data.samples import make_loader
from mosaicfusion.detectors.evaluation.evaluate import evaluate
from mosaicfusion.detectors.evaluation.results import (
    Detection,
    read_results,
    to_results,
    write_detections,
    write_results,
)
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle


def output(count: int, hw: tuple[int, int]) -> dict[str, Tensor]:
    masks = torch.zeros(count, 1, *hw)
    masks[:, :, 1:3, 2:5] = 0.9
    return {
        "boxes": torch.tensor([[2.0, 1.0, 5.0, 3.0]] * count),
        "labels": torch.arange(count) % 3 + 1,
        "scores": torch.linspace(0.1, 0.9, count),
        "masks": masks,
    }


@pytest.fixture
def classes(tiny_lvis: Path) -> ClassList:
    return ClassList.open(tiny_lvis / "val.json")


def test_records_are_in_pixels_of_the_image_and_ids_of_categories(classes: ClassList) -> None:
    rows = to_results(output(3, (4, 6)), 101, (4, 6), (4, 6), classes)
    assert [row.category_id for row in rows] == [8, 5, 3]  # best first
    assert [row.score for row in rows] == pytest.approx([0.9, 0.5, 0.1])
    assert rows[0].bbox == (2, 1, 3, 2)
    assert rows[0].segmentation is not None
    mask = rle.decode({"size": rows[0].segmentation.size, "counts": rows[0].segmentation.counts})
    assert rle.box_xywh(mask) == [2, 1, 3, 2]


def test_the_best_detections_are_kept(classes: ClassList) -> None:
    rows = to_results(output(5, (4, 6)), 101, (4, 6), (4, 6), classes, limit=2)
    assert [row.score for row in rows] == pytest.approx([0.9, 0.7])


def test_detections_in_a_resized_image_are_scaled_back(classes: ClassList) -> None:
    row = to_results(output(1, (4, 6)), 101, (4, 6), (40, 30), classes)[0]
    assert row.bbox == (10, 10, 15, 20)
    assert row.segmentation is not None
    assert row.segmentation.size == (40, 30)
    mask = rle.decode({"size": row.segmentation.size, "counts": row.segmentation.counts})
    assert rle.box_xywh(mask) == pytest.approx([10, 10, 15, 20], abs=2)


class Oracle(nn.Module):
    """Detects the shapes by their plain colours, in the order of the classes."""

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        assert not self.training
        return [self.find(image) for image in images]

    def find(self, image: Tensor) -> dict[str, Tensor]:
        colours = torch.tensor([(220, 40, 40), (40, 200, 60), (50, 80, 230)]) / 255
        masks = ((image[None] - colours[:, :, None, None]).abs().amax(1) < 0.01).float()
        shown = masks.sum((1, 2)) > 0
        boxes = [[x.min(), y.min(), x.max() + 1, y.max() + 1] for y, x in (torch.where(m) for m in masks[shown])]
        return {
            "boxes": torch.tensor(boxes).float().reshape(-1, 4),
            "labels": torch.arange(1, 4)[shown],
            "scores": torch.full((int(shown.sum()),), 0.5),
            "masks": masks[shown][:, None],
        }


def test_a_model_that_detects_everything_scores_1(tiny_lvis: Path, classes: ClassList, tmp_path: Path) -> None:
    loader = make_loader(DetectionDataset(tiny_lvis / "val.json", tiny_lvis / "images"), None, 3, workers=0)
    done: list[int] = []
    model = Oracle().train()
    count = write_results(model, loader, classes, tmp_path / "deep" / "results.json", on_image=done.append)
    truth = json.loads((tiny_lvis / "val.json").read_text())
    assert count == len(truth["annotations"])
    assert done == [3, 4]
    assert model.training  # as it was
    for scores in evaluate(tiny_lvis / "val.json", tmp_path / "deep" / "results.json").values():
        assert {name: value for name, value in scores.metrics.items() if value is not None} == pytest.approx(
            dict.fromkeys(("AP", "AP50", "AP75", "AP_s", "AR", "AP_r", "AP_c", "AP_f"), 1)
        )


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    row = Detection(1, 2, (0.5, 1, 2, 3), 0.25)
    path = tmp_path / "results.json"

    def interrupted() -> Iterator[Detection]:
        yield row
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_detections(path, interrupted())
    assert list(tmp_path.iterdir()) == []
    assert write_detections(path, [row] * 3) == 3
    assert read_results(path) == [row] * 3
    plain: Any = json.loads(path.read_text())
    assert plain[0] == {"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": 0.25}
    assert write_detections(path, []) == 0
    assert json.loads(path.read_text()) == []


def test_unreadable_and_unwritable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"cannot read .*none\.json"):
        read_results(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('[{"image_id": 1,')
    with pytest.raises(MosaicFusionError, match=r"cut\.json is not a list of COCO results"):
        read_results(tmp_path / "cut.json")
    with pytest.raises(MosaicFusionError, match="cannot write"):
        write_detections(tmp_path / "cut.json" / "results.json", [])
