"""The samples of a run and of a json; invalid sources are refused before anything is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.images import encode
from support.lvis_sets import write_lvis

from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.merge import merge
from mosaicfusion.dataset.reader import open_dataset, open_rows
from mosaicfusion.dataset.stats import read_stats
from mosaicfusion.dataset.validate import fix, validate
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.run.folder import RunFolder


def refused(example: Any, message: str, **changes: Any) -> None:
    out = example.source.parent / "out"
    with pytest.raises(MosaicFusionError, match=message) as caught:
        export(example.source, "coco", out, **{**example.arguments, **changes})
    assert "\n" not in str(caught.value)
    assert not list(example.source.parent.glob("*out*"))


def edit(coco: Any, kind: str, index: int, **changes: Any) -> None:
    data = json.loads(coco.source.read_text())
    data[kind][index].update(changes)
    coco.source.write_text(json.dumps(data))


def test_totals_of_a_run_and_of_a_json(example: Any) -> None:
    dataset = open_dataset(example.source, **example.arguments)
    assert dataset.images == len(example.masks)
    assert dataset.instances == sum(len(masks) for masks in example.masks.values())
    counts = {category["id"]: category["instance_count"] for category in dataset.categories}
    ids = [category_id for ids in example.category_ids.values() for category_id in ids]
    assert counts == {category_id: ids.count(category_id) for category_id in counts}
    assert list(dataset.index_of.values()) == list(range(len(counts)))
    assert [sample.id for sample in dataset] == [sample.id for sample in dataset]


def test_policies_choose_images_with_rejected_regions(run: Any) -> None:
    for policy, ids in (("drop", [1, 3]), ("not_exhaustive", [1, 2, 3])):
        dataset = open_dataset(run.source, policy=policy)  # type: ignore[arg-type]
        samples = list(dataset)
        assert [sample.id for sample in samples] == ids
        numbers = [annotation.record["id"] for sample in samples for annotation in sample.annotations]
        assert numbers == list(range(1, dataset.instances + 1))


def test_regions_below_the_thresholds_of_the_run_are_rejected(run: Any) -> None:
    """An export has the same instances as lvis.json: those below the quality that the run was compiled with are rejected."""
    folder = RunFolder.open(run.source)
    qualities = (0.9, 0.9, 0.1)
    records = [
        replace(record, regions=tuple(replace(region, quality=quality) for region in record.regions))
        for record, quality in zip(folder.records(), qualities, strict=True)
    ]
    folder.write_part(records)  # replaces the only part
    folder.remember_output(folder.manifest.output.updated(OutputSettings(min_quality=0.5)))
    assert [sample.id for sample in open_dataset(run.source)] == [1]


def test_missing_images_are_named_and_counted(run: Any, make_run: Any, tmp_path: Path) -> None:
    (run.source / "images/000/000000000002.jpg").unlink()
    refused(run, r"1 of 2 images are not in .*run: 'images/000/000000000002.jpg'; nothing was written")
    many = make_run(tmp_path / "many", 9)
    for file in (many / "images/000").iterdir():
        file.unlink()
    with pytest.raises(MosaicFusionError, match=r"9 of 9 images are not in .* and 4 more; nothing was written"):
        open_dataset(many, check_images=True)


def test_images_of_lvis_are_found_by_url(coco: Any, tmp_path: Path) -> None:
    """LVIS v1 has no file_name; the images are in train2017, or all in one folder."""
    data = json.loads(coco.source.read_text())
    for image in data["images"]:
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/{name}"
    coco.source.write_text(json.dumps(data))
    assert [sample.file.name for sample in open_dataset(coco.source, tmp_path / "photos")] == [
        "same.jpg",
        "same.jpg",
        "empty.v2.jpg",
    ]


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "C:\\x.jpg", "a\n.jpg", "a\0.jpg"]
)
def test_file_names_that_leave_the_folder_are_refused(coco: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(coco.images[9])
    edit(coco, "images", 0, file_name=name)
    refused(coco, "image 9: the file_name .*")


def test_urls_that_leave_the_folder_are_refused(coco: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(coco.images[9])
    edit(coco, "images", 0, file_name=None, coco_url="http://x/../secret.jpg")
    refused(coco, "1 of 3 images are not in")


def test_images_of_another_size_or_format_are_refused(coco: Any, tmp_path: Path) -> None:
    edit(coco, "images", 1, width=51)
    refused(coco, r"b/same.jpg has 50 x 30 pixels, its record says 51 x 30: masks may be of another image")
    edit(coco, "images", 1, width=50)
    for data in (b"text", b"", coco.images[9][:20], encode(np.zeros((30, 50, 3), np.uint8), "EPS")):
        (tmp_path / "photos/b/same.jpg").write_bytes(data)
        refused(coco, r"same.jpg cannot be read as an image")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("images", {"id": 5}, "2 images have the id 5; each needs its own"),
        ("images", {"id": -1}, r"images: Expected `int` >= 0"),
        ("images", {"id": "9"}, r"images: Expected `int`, got `str`"),
        ("images", {"height": 0}, r"images: Expected `int` >= 1"),
        ("images", {"neg_category_ids": ["a"]}, r"images: Expected `int`"),
        ("annotations", {"image_id": 77}, "annotation 70 is of image 77 and category 90; there is no such"),
        ("annotations", {"category_id": 77}, "annotation 70 is of image 9 and category 77; there is no such"),
        ("annotations", {"bbox": [1, 2, 3]}, "annotation 70: .*bbox.*validate"),
        ("annotations", {"bbox": [1, 2, -3, 4]}, "annotation 70: .*bbox"),
        ("annotations", {"area": None}, "annotation 70: .*area"),
        ("annotations", {"iscrowd": 2}, "annotation 70: .*iscrowd"),
        ("annotations", {"segmentation": None}, "annotation 70: .*segmentation"),
        ("categories", {"id": 1}, "2 categories have the id 1"),
        ("categories", {"name": "person"}, "2 categories have the name 'person'"),
        ("categories", {"name": ""}, "a category has an empty name"),
    ],
)
def test_invalid_records_are_refused(coco: Any, kind: str, changes: dict[str, Any], message: str) -> None:
    edit(coco, kind, 0, **changes)
    refused(coco, message)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_truncated_json_is_refused(coco: Any, cut: int) -> None:
    coco.source.write_bytes(coco.source.read_bytes()[:cut])
    refused(coco, "is not whole JSON|is not an object")


def test_empty_sets_are_refused(coco: Any, run: Any) -> None:
    coco.source.write_text('{"images": [], "annotations": [], "categories": []}')
    refused(coco, "holds no images")
    for part in (run.source / "parts").iterdir():
        part.unlink()
    refused(run, "holds no canvas that the policy drop accepts; try --policy not_exhaustive")


def test_arguments_that_do_not_fit_the_source_are_refused(run: Any, coco: Any, tmp_path: Path) -> None:
    refused(run, "is a run folder and holds its images; leave out --images", images=tmp_path)
    refused(coco, "--policy is for run folders", policy="drop")
    refused(coco, "give the folder of the images of .*set.json with --images", images=None)
    refused(coco, "there is no folder .*nowhere; give --images the folder of the images", images=tmp_path / "nowhere")
    with pytest.raises(MosaicFusionError, match="holds no run"):
        open_dataset(tmp_path)
    with pytest.raises(MosaicFusionError, match="cannot read"):
        open_dataset(tmp_path / "none.json", tmp_path)


def test_images_may_lie_beside_the_json_as_roboflow_stores_them(coco: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "_annotations.coco.json").write_bytes(coco.source.read_bytes())
    for source in (photos, photos / "_annotations.coco.json"):
        dataset = open_dataset(source)
        assert dataset.folders == (photos,)
        assert dataset.images == 3
    assert open_rows(photos).path == photos / "_annotations.coco.json"


def test_a_folder_without_a_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match=r"is a folder; give a json in it, such as .*lvis.json"):
        DatasetFile.open(tmp_path)


def test_a_number_that_no_float_holds_is_read_as_null(coco: Any) -> None:
    coco.source.write_text(coco.source.read_text().replace("380.5", "1e400"))
    refused(coco, r"annotation 70: Expected `float`, got `null` - at `\$.area`")
    coco.source.write_text(coco.source.read_text().replace("1e400", "380.5").replace('"d"', "1e400", 1))
    export(coco.source, "coco", coco.source.parent / "out", **coco.arguments)
    assert "1e400" not in (coco.source.parent / "out" / "coco.json").read_text()


def test_texts_and_the_home_folder_are_accepted_as_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_lvis(tmp_path)
    name = f"~/{next(tmp_path.glob('*.json')).name}"
    assert read_stats(name).categories
    assert validate(name).issues.counts == validate(tmp_path / name[2:]).issues.counts
    fix(name, "~/fixed.json")
    merge(name, [], "~/merged.json")
    assert open_rows("~/merged.json").path == tmp_path / "merged.json"
