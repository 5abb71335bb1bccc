"""Round trips through the files of FiftyOne, Label Studio and CVAT, as these tools write them."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import call
from support.hand_made_runs import CANVAS_HW, disc, make_run, region

from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.handback import read_verdicts
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import Reviews

WORDS = {(0, 1): "reject", (1, 0): "relabel", (1, 1): "wrong_mask"}
Json = dict[str, Any]
ONE_IMAGE = (
    '{"images": [{"id": 1, "file_name": "%s.jpg", "height": 4, "width": 4}], "annotations": [%s], "categories": []}'
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Three canvases with two objects each; the second object of the last one was rejected."""
    canvases = [[region(0, disc(0)), region(1, disc(1))] for _ in range(3)]
    canvases[2][1] = region(1, None)
    made = make_run(tmp_path / "run", canvases)
    made.remember_output(OutputSettings(policy="not_exhaustive"))
    return made


def words(verdicts: list[Any]) -> dict[tuple[int, int | None], str]:
    return {verdict.place: verdict.verdict for verdict in verdicts}


def change_coco(data: Json) -> Json:
    """Remove the second object of the first image; relabel and move those of the second."""
    rows = data["annotations"]
    kept = [row for row in rows if row is not rows[1]]
    kept[1]["category_id"] = 2
    kept[2]["segmentation"] = rle.polygons(disc(1, radius=14))
    for number, row in enumerate(kept, start=1):
        row |= {"id": number, "attributes": {"occluded": False}}  # as CVAT has them
    return {**data, "annotations": kept, "licenses": [{"name": "", "id": 0, "url": ""}]}


@pytest.mark.parametrize("packed", [True, False])
def test_cvat(run: RunFolder, tmp_path: Path, packed: bool) -> None:
    export(run.path, "cvat", tmp_path / "out")
    path = tmp_path / "out/annotations/instances_default.json"
    assert read_verdicts(run, tmp_path / "out", "anna") == []
    data = change_coco(json.loads(path.read_text()))
    path.write_text(json.dumps(data))
    source = tmp_path / "out"
    if packed:
        source = tmp_path / "cvat.zip"
        with zipfile.ZipFile(source, "w") as file:
            file.writestr("annotations/instances_default.json", json.dumps(data))
    verdicts = read_verdicts(run, source, "anna")
    assert words(verdicts) == WORDS
    assert [verdict.category_id for verdict in verdicts if verdict.verdict == "relabel"] == [2]


def test_label_studio(run: RunFolder, tmp_path: Path) -> None:
    export(run.path, "label_studio", tmp_path / "out")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert tasks[0]["predictions"][0]["result"][0]["score"] == 0.9
    assert '<Label value="kite"/>' in (tmp_path / "out/labels.xml").read_text()
    for number, task in enumerate(tasks):
        name = task["data"]["image"].split("/")[-1]
        task |= {"id": number + 7, "data": {"image": f"/data/upload/1/3f2a{number}-{name}"}}
        task["annotations"] = [{"id": 1, "result": task["predictions"][0]["result"], "was_cancelled": False}]
    source = tmp_path / "export.json"
    source.write_text(json.dumps(tasks))
    assert read_verdicts(run, source, "anna") == []
    second = tasks[1]["annotations"][0]["result"]
    del tasks[0]["annotations"][0]["result"][1]
    second[0]["value"]["polygonlabels"] = ["drum"]
    second[1]["value"]["points"] = [[x, y * 0.8] for x, y in second[1]["value"]["points"]]
    tasks[2]["annotations"] = []  # nobody has looked at it
    source.write_text(json.dumps(tasks))
    assert words(read_verdicts(run, source, "anna")) == WORDS


def as_fiftyone(labels: Json) -> Json:
    """What FiftyOne exports of an imported set: one sample for each image, masks packed."""
    names = {one["id"]: one["name"] for one in labels["categories"]}
    samples = []
    for image in labels["images"]:
        detections = []
        for row in labels["annotations"]:
            if row["image_id"] != image["id"]:
                continue
            mask, buffer = rle.decode(row["segmentation"]), io.BytesIO()
            left, top, width, height = (int(side) for side in row["bbox"])
            np.save(buffer, mask[top : top + height, left : left + width])
            packed = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
            detections.append(
                {
                    "_cls": "Detection", "label": names[row["category_id"]], "tags": [], "quality": row["quality"],
                    "bounding_box": [left / CANVAS_HW[1], top / CANVAS_HW[0], width / CANVAS_HW[1], height / CANVAS_HW[0]],
                    "mask": {"$binary": {"base64": packed, "subType": "00"}},
                }
            )  # fmt: skip
        samples.append(
            {
                "filepath": f"data/{image['file_name']}", "tags": [],
                "metadata": {"width": CANVAS_HW[1], "height": CANVAS_HW[0]},
                "segmentations": {"_cls": "Detections", "detections": detections},
            }
        )  # fmt: skip
    return {"samples": samples}


def test_fiftyone(run: RunFolder, tmp_path: Path) -> None:
    exported = export(run.path, "fiftyone", tmp_path / "out")
    assert "COCODetectionDataset" in exported.notes[-1]
    data = as_fiftyone(json.loads((tmp_path / "out/labels.json").read_text()))
    source = tmp_path / "back"
    source.mkdir()
    (source / "samples.json").write_text(json.dumps(data))
    assert read_verdicts(run, source, "anna") == []
    first, second, third = (sample["segmentations"]["detections"] for sample in data["samples"])
    first[1]["tags"] = ["reject", "blurred"]
    second[0]["label"] = "drum"
    second[1]["tags"] = ["wrong_mask"]
    data["samples"][2]["tags"] = ["reject"]
    (source / "samples.json").write_text(json.dumps(data))
    assert words(read_verdicts(run, source, "anna")) == {**WORDS, (2, 0): "reject"}
    assert len(third) == 1


def test_the_command_adds_them_to_the_verdicts(run: RunFolder, tmp_path: Path) -> None:
    export(run.path, "cvat", tmp_path / "out")
    path = tmp_path / "out/annotations/instances_default.json"
    path.write_text(json.dumps(change_coco(json.loads(path.read_text()))))
    result = call("review", run.path, "--from", tmp_path / "out", "--who", "anna")
    assert result.exit_code == 0, result.output
    assert "1 reject, 1 relabel, 1 wrong mask" in result.stdout
    assert Reviews.read(run.path).counts() == {"reject": 1, "relabel": 1, "wrong_mask": 1}
    again = call("review", run.path, "--from", tmp_path / "out")
    assert "nothing differs" in again.stdout, "what was taken back is in force"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read"),
        ("{}", "none of these formats"),
        ('{"samples": [{"filepath": "1.jpg"}]}', "cannot read"),
        ('[{"data": {"image": "1.jpg"}, "annotations": []}]', "has 0 images"),
        ('{"images": [], "annotations": [], "categories": []}', "has 0 images"),
        (ONE_IMAGE % ("99", ""), "none of"),
        (ONE_IMAGE % ("1", '{"image_id": 2}'), "cannot read"),
    ],
)  # fmt: skip
def test_other_files_are_refused(run: RunFolder, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(MosaicFusionError, match=message):
        read_verdicts(run, tmp_path / "file.json", "anna")
    assert not Reviews.read(run.path)
