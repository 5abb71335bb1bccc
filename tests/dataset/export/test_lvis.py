"""LVIS json: its fields, the rules of its loaders, and its evaluation."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lvis_dicts import compile_lvis

from mosaicfusion.dataset.export import export
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder


def written(example: Any, out: Path, **options: Any) -> Any:
    export(example.source, "lvis", out, **example.arguments, **options)
    return json.loads((out / "lvis.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("policy", ["drop", "not_exhaustive"])
@pytest.mark.parametrize("masks", ["rle", "polygon"])
def test_a_run_gives_the_same_json_as_when_compiled(run: Any, tmp_path: Path, policy: Any, masks: Any) -> None:
    folder = RunFolder.open(run.source)
    categories = list(folder.manifest.categories.partners)
    expected = compile_lvis(folder.records(), categories, policy, masks)
    data = written(run, tmp_path / "out", policy=policy, masks=masks)
    for image in expected["images"]:
        image["source_file_name"], image["source_coco_url"] = image["file_name"], image["coco_url"]
        image["file_name"] = f"images/{image['id']:012d}.jpg"
        image["coco_url"] = image["file_name"]
    assert data == expected


def test_masks_are_the_same(run: Any, tmp_path: Path) -> None:
    data = written(run, tmp_path / "out")
    for image_id, masks in run.masks.items():
        found = [rle.decode(a["segmentation"]) for a in data["annotations"] if a["image_id"] == image_id]
        assert np.array_equal(found, masks)


def test_loaders_find_the_image(run: Any, tmp_path: Path) -> None:
    """detectron2 joins its root with the last two parts of ``coco_url``, Detic with ``file_name``."""
    for image in written(run, tmp_path / "out")["images"]:
        for name in ("/".join(image["coco_url"].split("/")[-2:]), image["file_name"]):
            assert (tmp_path / "out" / name).read_bytes() == run.images[image["id"]]


def test_a_crowd_becomes_a_category_that_is_not_exhaustive(coco: Any, tmp_path: Path) -> None:
    data = written(coco, tmp_path / "out")
    assert [annotation["id"] for annotation in data["annotations"]] == [70, 4]
    assert {i["id"]: i["not_exhaustive_category_ids"] for i in data["images"]} == {9: [1], 5: [], 6: []}
    assert all(image["neg_category_ids"] == [] for image in data["images"])


def test_fields_that_coco_lacks_get_defaults(coco: Any, tmp_path: Path) -> None:
    person, cup = written(coco, tmp_path / "out")["categories"]
    assert {key: person[key] for key in ("synonyms", "def", "synset", "frequency")} == {
        "synonyms": ["person"],
        "def": "",
        "synset": "",
        "frequency": "r",
    }
    assert (cup["image_count"], cup["instance_count"], cup["supercategory"]) == (1, 1, "kitchen")


def test_lvis_evaluation_gives_a_perfect_score(run: Any, tmp_path: Path) -> None:
    """The detections are the annotations of the set."""
    from faster_coco_eval import COCO, COCOeval_faster

    data = written(run, tmp_path / "out")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "out/lvis.json"))
        keys = ("image_id", "category_id", "segmentation", "score")
        found = truth.loadRes([{key: annotation[key] for key in keys} for annotation in data["annotations"]])
        evaluation = COCOeval_faster(truth, found, "segm", lvis_style=True)
        evaluation.params.maxDets = [300]
        evaluation.run()
    assert evaluation.stats_as_dict["AP_all"] == pytest.approx(1)
