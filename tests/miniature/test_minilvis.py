"""The shipped data set agrees with its README."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from PIL import Image

from miniature.scenes.card import card
from miniature.vocabulary import load_vocabulary
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.masks import rle

ROOT = Path(__file__).parents[2] / "datasets" / "minilvis"


@pytest.fixture(scope="module")
def splits() -> dict[str, dict[str, Any]]:
    return {name: json.loads((ROOT / f"{name}.json").read_text(encoding="utf-8")) for name in ("train", "val")}


def test_the_readme_agrees_with_the_files(splits: dict[str, dict[str, Any]]) -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8") == card(splits["train"], splits["val"])


def test_it_is_small_and_complete(splits: dict[str, dict[str, Any]]) -> None:
    files = {str(file.relative_to(ROOT)) for file in ROOT.rglob("*") if file.is_file()}
    named = {image["file_name"] for data in splits.values() for image in data["images"]}
    assert files == named | {"train.json", "val.json", "README.md"}
    assert sum((ROOT / file).stat().st_size for file in files) <= 15_000_000


def test_frequencies_are_those_of_the_training_images(splits: dict[str, dict[str, Any]]) -> None:
    frequencies = Counter()
    trained = {category["id"]: category for category in splits["train"]["categories"]}
    for data in splits.values():
        pairs = {(annotation["category_id"], annotation["image_id"]) for annotation in data["annotations"]}
        images = Counter(category for category, _ in pairs)
        instances = Counter(annotation["category_id"] for annotation in data["annotations"])
        for category in data["categories"]:
            assert category["frequency"] == frequency_of(trained[category["id"]]["image_count"])
            assert (category["image_count"], category["instance_count"]) == (
                images[category["id"]],
                instances[category["id"]],
            )
            assert category["synset"] and category["synonyms"] and category["def"]
            frequencies[category["frequency"]] += 1
    assert sorted(trained) == sorted(entry.record["id"] for entry in load_vocabulary())
    assert min(frequencies.values()) > 0.28 * frequencies.total()  # about a third each
    assert min(category["instance_count"] for category in splits["val"]["categories"]) >= 5


def test_splits_share_no_image(splits: dict[str, dict[str, Any]]) -> None:
    ids = [{image["id"] for image in data["images"]} for data in splits.values()]
    assert len(ids[0]) >= 1300 and len(ids[1]) >= 300 and not ids[0] & ids[1]


def test_images_and_masks_have_the_recorded_sizes(splits: dict[str, dict[str, Any]]) -> None:
    for data in splits.values():
        for row in data["images"][::50]:
            with Image.open(ROOT / row["file_name"]) as image:
                assert image.size == (row["width"], row["height"]) == (256, 256)
            annotations = [each for each in data["annotations"] if each["image_id"] == row["id"]]
            masks = [rle.decode(each["segmentation"]) for each in annotations]
            assert np.sum(masks, axis=0).max() == 1  # a pixel belongs to one object at most
            assert [each["area"] for each in annotations] == [mask.sum() for mask in masks]
            assert [each["bbox"] for each in annotations] == [rle.box_xywh(mask) for mask in masks]


def test_lists_are_exhaustive(splits: dict[str, dict[str, Any]]) -> None:
    for data in splits.values():
        everything = {category["id"] for category in data["categories"]}
        shown: dict[int, set[int]] = {image["id"]: set() for image in data["images"]}
        for annotation in data["annotations"]:
            shown[annotation["image_id"]].add(annotation["category_id"])
        for image in data["images"]:
            assert set(image["neg_category_ids"]) == everything - shown[image["id"]]
            assert image["not_exhaustive_category_ids"] == []


def test_lvis_evaluation_rewards_the_truth_and_counts_false_positives(splits: dict[str, dict[str, Any]]) -> None:
    data = splits["val"]
    images = data["images"][:40]
    ids = {image["id"] for image in images}
    rows = [annotation for annotation in data["annotations"] if annotation["image_id"] in ids]
    found = [{key: row[key] for key in ("image_id", "category_id", "bbox", "segmentation")} for row in rows]
    truth = {**data, "images": images, "annotations": rows}
    assert _ap(truth, [{**row, "score": 0.5} for row in found]) == pytest.approx(1)
    category = found[0]["category_id"]
    elsewhere = next(image["id"] for image in images if category in image["neg_category_ids"])
    false = {**found[0], "image_id": elsewhere, "score": 0.9}
    assert _ap(truth, [false, *({**row, "score": 0.5} for row in found)]) < 0.999


def _ap(truth: dict[str, Any], found: list[dict[str, Any]]) -> float:
    ground = COCO(json.loads(json.dumps(truth)))
    evaluation = COCOeval_faster(ground, ground.loadRes(found), "segm", lvis_style=True, print_function=lambda *_: None)
    evaluation.params.maxDets = [300]
    evaluation.run()
    return float(evaluation.stats_as_dict["AP_all"])
