"""Average precision on sets with a known answer, and on random sets compared with its definition and with pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mosaicfusion.detectors.evaluation.evaluate import evaluate
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle

Json = dict[str, Any]
Box = tuple[int, int, int, int]  # left, top, width, height

RARE, COMMON, FREQUENT = 2, 3, 7
HALF = 51 / 101  # AP of one hit, then nothing, with two instances: precision 1 at the recalls 0, 0.01, ... 0.50
HW = (20, 30)


def runs_of(box: Box) -> Json:
    left, top, width, height = box
    mask = np.zeros(HW, bool)
    mask[top : top + height, left : left + width] = True
    return dict(rle.encode(mask))


def truth(image_id: int, category_id: int, box: Box) -> Json:
    area = box[2] * box[3]
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "area": area, "segmentation": runs_of(box)}


def found(image_id: int, category_id: int, box: Box, score: float, mask: Box | None = None) -> Json:
    return {
        "image_id": image_id, "category_id": category_id, "bbox": box, "score": score, "segmentation": runs_of(mask or box)
    }  # fmt: skip


def image(id_: int, negative: Sequence[int] = (), not_exhaustive: Sequence[int] = ()) -> Json:
    lists = {"neg_category_ids": list(negative), "not_exhaustive_category_ids": list(not_exhaustive)}
    return {"id": id_, "file_name": f"{id_}.png", "height": HW[0], "width": HW[1], **lists}


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., Any]:
    """Evaluate detections against images and annotations."""

    def run(images: list[Json], annotations: list[Json], detections: list[Json], **options: bool) -> Any:
        categories = [
            {"id": RARE, "name": "spice_rack", "frequency": "r"},
            {"id": COMMON, "name": "legume", "frequency": "c"},
            {"id": FREQUENT, "name": "cup", "frequency": "f"},
        ]
        numbered = [{"id": number, **a} for number, a in enumerate(annotations)]  # from 0 on, as in no sound set
        val = tmp_path / "val.json"
        val.write_text(json.dumps({"images": images, "annotations": numbered, "categories": categories}))
        results = tmp_path / "results.json"
        results.write_text(json.dumps(detections))
        return evaluate(val, results, **options)

    return run


BOX: Box = (2, 3, 8, 10)
FAR: Box = (20, 8, 6, 9)
TWO_RARE = [truth(1, RARE, BOX), truth(2, RARE, BOX)]
HIT, MISS = found(1, RARE, BOX, 0.9), found(2, RARE, FAR, 0.8)


def test_a_case_with_a_known_ap_r(score: Callable[..., Any]) -> None:
    """Rare: one of two instances, then a false positive. Common: all. Frequent: a mask of IoU 0.6 in the right box."""
    annotations = [*TWO_RARE, truth(1, COMMON, FAR), truth(2, FREQUENT, (0, 0, 10, 10))]
    detections = [
        HIT,
        MISS,
        found(1, COMMON, FAR, 0.3),
        found(2, FREQUENT, (0, 0, 10, 10), 0.7, mask=(0, 0, 10, 6)),
    ]
    result = score([image(1), image(2)], annotations, detections)
    box, mask = result["box"].metrics, result["mask"].metrics
    assert box["AP_r"] == mask["AP_r"] == pytest.approx(HALF)
    assert box["AP_c"] == mask["AP_c"] == pytest.approx(1)
    assert box["AP_f"] == pytest.approx(1)
    assert mask["AP_f"] == pytest.approx(0.3)  # right at 0.50, 0.55 and 0.60
    assert mask["AP"] == pytest.approx((HALF + 1 + 0.3) / 3)
    assert mask["AP50"] == pytest.approx((HALF + 1 + 1) / 3)
    assert mask["AP75"] == pytest.approx((HALF + 1 + 0) / 3)
    assert result["mask"].per_category == pytest.approx({"spice_rack": HALF, "legume": 1, "cup": 0.3})
    assert "AP_novel" not in mask


def test_novel_and_base(score: Callable[..., Any]) -> None:
    annotations = [*TWO_RARE, truth(1, COMMON, FAR), truth(2, FREQUENT, BOX)]
    mask = score([image(1), image(2)], annotations, [HIT, MISS, found(1, COMMON, FAR, 0.3)], open_vocabulary=True)[
        "mask"
    ]
    assert mask.metrics["AP_novel"] == pytest.approx(HALF)
    assert mask.metrics["AP_base"] == pytest.approx(0.5)


def test_unverified_categories_do_not_count(score: Callable[..., Any]) -> None:
    """A detection with a higher score in a third image is ignored unless the category is known to be absent there."""
    wrong = found(3, RARE, BOX, 0.99)
    unknown = score([image(1), image(2), image(3)], TWO_RARE, [HIT, wrong])
    assert unknown["mask"].metrics["AP_r"] == pytest.approx(HALF)
    absent = score([image(1), image(2), image(3, negative=[RARE])], TWO_RARE, [HIT, wrong])
    assert absent["mask"].metrics["AP_r"] == pytest.approx(HALF / 2)  # precision 1 / 2 at the only hit
    assert absent["box"].metrics["AP_r"] == pytest.approx(HALF / 2)


def test_surplus_detections_are_ignored_where_instances_are_not_exhaustive(score: Callable[..., Any]) -> None:
    surplus = found(1, RARE, FAR, 0.99)
    exhaustive = score([image(1), image(2)], TWO_RARE, [HIT, surplus])
    assert exhaustive["mask"].metrics["AP_r"] == pytest.approx(HALF / 2)
    open_ended = score([image(1, not_exhaustive=[RARE]), image(2)], TWO_RARE, [HIT, surplus])
    assert open_ended["mask"].metrics["AP_r"] == pytest.approx(HALF)  # the hit still counts, the surplus does not


def test_300_detections_an_image_of_all_categories_together(score: Callable[..., Any]) -> None:
    others = [found(1, COMMON, FAR, 0.95) for _ in range(300)]
    assert score([image(1), image(2)], TWO_RARE, [*others[1:], HIT])["mask"].metrics["AP_r"] == pytest.approx(HALF)
    assert score([image(1), image(2)], TWO_RARE, [*others, HIT])["mask"].metrics["AP_r"] == 0


def test_no_detections_and_no_instances(score: Callable[..., Any]) -> None:
    result = score([image(1), image(2)], TWO_RARE, [])
    assert result["mask"].metrics["AP_r"] == 0
    assert result["mask"].metrics["AP_f"] is None
    assert result["mask"].per_category == {"spice_rack": 0, "legume": None, "cup": None}


def test_results_may_have_boxes_only(score: Callable[..., Any]) -> None:
    boxes = [{key: value for key, value in one.items() if key != "segmentation"} for one in (HIT, MISS)]
    result = score([image(1), image(2)], TWO_RARE, boxes)
    assert list(result) == ["box"]
    assert result["box"].metrics["AP_r"] == pytest.approx(HALF)


@pytest.mark.parametrize("key", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_a_set_without_the_federated_lists_is_refused(score: Callable[..., Any], key: str) -> None:
    images = [image(1, [FREQUENT]), {name: value for name, value in image(2, [FREQUENT]).items() if name != key}]
    with pytest.raises(MosaicFusionError, match=r"1 of 2 images of .* \(the first: 2\) lack neg_category_ids or"):
        score(images, TWO_RARE, [HIT])


def test_without_frequencies_there_are_no_means_by_frequency(tiny_lvis: Path, tmp_path: Path) -> None:
    data = json.loads((tiny_lvis / "val.json").read_text())
    del data["categories"][1]["frequency"]
    (tmp_path / "val.json").write_text(json.dumps(data))
    (tmp_path / "results.json").write_text("[]")
    metrics = evaluate(tmp_path / "val.json", tmp_path / "results.json")["box"].metrics
    assert list(metrics) == ["AP", "AP50", "AP75", "AP_s", "AP_m", "AP_l", "AR"]
    with pytest.raises(MosaicFusionError, match=r'1 categories of .* \(the first: "square"\) have no frequency'):
        evaluate(tmp_path / "val.json", tmp_path / "results.json", open_vocabulary=True)


class TestCoco:
    """Images without LVIS' lists: every image is annotated for every category."""

    def test_a_false_positive_of_an_absent_category_counts(self, score: Callable[..., Any]) -> None:
        images = [coco_image(1), coco_image(2)]
        annotations = [truth(1, RARE, BOX), truth(2, COMMON, BOX)]
        found_well = [found(1, RARE, BOX, 0.8), found(2, COMMON, BOX, 0.8)]
        assert score(images, annotations, found_well)["mask"].metrics["AP"] == pytest.approx(1)
        worse = score(images, annotations, [*found_well, found(2, RARE, FAR, 0.9)])
        assert worse["mask"].per_category == {"spice_rack": pytest.approx(0.5), "legume": pytest.approx(1), "cup": None}
        assert not worse["mask"].federated

    def test_categories_that_are_not_exhaustive_in_some_images_are_ignored_there(
        self, score: Callable[..., Any]
    ) -> None:
        """A merged set: a real image without lists, a synthetic one with them."""
        annotations = [truth(1, RARE, BOX), truth(2, RARE, BOX)]
        detections = [HIT, found(2, RARE, BOX, 0.7), found(2, RARE, FAR, 0.95)]
        exhaustive = score([coco_image(1), image(2)], annotations, detections)["mask"]
        assert not exhaustive.federated
        assert exhaustive.metrics["AP"] == pytest.approx(2 / 3)
        ignoring = score([coco_image(1), image(2, not_exhaustive=[RARE])], annotations, detections)["mask"]
        assert ignoring.metrics["AP"] == pytest.approx(1)
        absent = [*detections, found(1, RARE, FAR, 0.99)]  # a false positive on the real image
        worse = score([coco_image(1), image(2, not_exhaustive=[RARE])], annotations, absent)["mask"]
        assert worse.metrics["AP"] == pytest.approx(2 / 3)

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("iou_type", "name"), [("box", "bbox"), ("mask", "segm")])
    def test_random_sets_have_the_ap_of_the_reference(
        self, tmp_path: Path, score: Callable[..., Any], seed: int, iou_type: str, name: str
    ) -> None:
        rng = np.random.default_rng(seed)

        def box() -> Box:
            left, top = int(rng.integers(20)), int(rng.integers(10))
            return left, top, int(rng.integers(2, 30 - left)), int(rng.integers(2, 20 - top))

        images = [coco_image(id_) for id_ in range(1, 6)]
        annotations = [
            {**truth(int(rng.integers(1, 6)), int(rng.choice([RARE, COMMON, FREQUENT])), box()), "iscrowd": int(k < 2)}
            for k in range(25)
        ]
        near = [(row["image_id"], row["category_id"], row["bbox"]) for row in annotations[5:]]
        far = [(int(rng.integers(1, 6)), RARE, box()) for _ in range(15)]
        detections = [found(*one, score=float(rng.random())) for one in [*near, *far]]
        metrics = score(images, annotations, detections)[iou_type].metrics
        expected = reference_ap(tmp_path / "val.json", tmp_path / "results.json", name)
        assert list(metrics) == ["AP", "AP50", "AP75", "AP_s", "AP_m", "AP_l", "AR"]
        for measured, right in zip(metrics.values(), expected, strict=True):
            assert (-1 if measured is None else measured) == pytest.approx(right, abs=1e-9)


def coco_image(id_: int) -> Json:
    return {key: value for key, value in image(id_).items() if not key.endswith("category_ids")}


def reference_ap(val: Path, results: Path, iou_type: str) -> list[float]:
    """AP, AP50, AP75, AP by size and AR of pycocotools, whose ids begin at 1."""
    data = json.loads(val.read_text())
    for row in data["annotations"]:
        row["id"] += 1
    ground_truth = COCO()
    ground_truth.dataset = data
    ground_truth.createIndex()
    evaluation = COCOeval(ground_truth, ground_truth.loadRes(json.loads(results.read_text())), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats[[*range(6), 8]]]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"image_id": 99}, "image 99 and category 2"),
        ({"category_id": 1}, "image 1 and category 1"),
        ({"score": -1}, "not a list of COCO results"),
        ({"bbox": [1, 2, 3]}, "not a list of COCO results"),
        ({"segmentation": [[1, 2, 3]]}, "not a list of COCO results"),
        ({"segmentation": {"size": [30, 20], "counts": "x"}}, "mask of a detection in image 1 cannot be read: size"),
        ({"segmentation": {"size": list(HW), "counts": "22"}}, "run lengths are damaged"),
    ],
)
def test_results_of_another_set_are_refused(score: Callable[..., Any], wrong: Json, text: str) -> None:
    with pytest.raises(MosaicFusionError, match=text):
        score([image(1), image(2)], TWO_RARE, [{**HIT, **wrong}])


def test_truth_without_a_mask_is_refused(score: Callable[..., Any]) -> None:
    with pytest.raises(MosaicFusionError, match="annotation 0: the segmentation"):
        score([image(1)], [{**truth(1, RARE, BOX), "segmentation": []}], [HIT])


def test_the_definition_on_random_sets(score: Callable[..., Any]) -> None:
    """Boxes, compared with LVIS' definition in plain Python."""
    rng = np.random.default_rng(0)
    categories = (RARE, COMMON, FREQUENT)

    def box() -> Box:
        left, top = rng.integers(0, 12), rng.integers(0, 8)
        return int(left), int(top), int(rng.integers(4, 14)), int(rng.integers(4, 12))

    images, annotations, detections = [], [], []
    for id_ in range(1, 21):
        shown = [c for c in categories if rng.random() < 0.5]
        absent = [c for c in categories if c not in shown and rng.random() < 0.5]
        images.append(image(id_, absent, [c for c in shown if rng.random() < 0.3]))
        for category in shown:
            for _ in range(rng.integers(1, 4)):
                annotations.append(truth(id_, category, box()))
                left, top, width, height = annotations[-1]["bbox"]
                near = (left + int(rng.integers(0, 2)), top + int(rng.integers(0, 2)), width, height)
                detections.append(found(id_, category, near, round(float(rng.random()), 6)))
        detections += [found(id_, int(rng.choice(categories)), box(), round(float(rng.random()), 6)) for _ in range(6)]
    result = score(images, annotations, detections)["box"].metrics
    for name, category in (("AP_r", RARE), ("AP_c", COMMON), ("AP_f", FREQUENT)):
        expected = [
            by_definition(images, annotations, detections, category, threshold)
            for threshold in np.linspace(0.5, 0.95, 10)
        ]
        assert 0.1 < np.mean(expected) < 0.9
        assert result[name] == pytest.approx(np.mean(expected), abs=1e-9)


def by_definition(
    images: list[Json], truths: list[Json], detections: list[Json], category: int, threshold: float
) -> float:
    outcomes: list[tuple[float, bool]] = []  # score, hit
    of_category = [t for t in truths if t["category_id"] == category]
    for image_record in images:
        unmatched = [t for t in of_category if t["image_id"] == image_record["id"]]
        if not unmatched and category not in image_record["neg_category_ids"]:
            continue
        own = [d for d in detections if (d["image_id"], d["category_id"]) == (image_record["id"], category)]
        for detection in sorted(own, key=lambda d: -d["score"]):
            overlaps = [iou(detection["bbox"], t["bbox"]) for t in unmatched]
            best = max(range(len(unmatched)), key=lambda k: overlaps[k], default=None)
            if best is not None and overlaps[best] >= threshold:
                unmatched.pop(best)
                outcomes.append((detection["score"], True))
            elif category not in image_record["not_exhaustive_category_ids"]:
                outcomes.append((detection["score"], False))
    hits = np.cumsum([hit for _, hit in sorted(outcomes, reverse=True)])
    recall, precision = hits / len(of_category), hits / np.arange(1, len(hits) + 1)
    return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]))


def iou(one: Box, other: Box) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
