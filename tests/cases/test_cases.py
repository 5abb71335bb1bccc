"""Every small input of other tools that once went wrong, in every command that reads it: status, words, files.

``pytest -s tests/cases/test_cases.py`` prints the table.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from cases.brothers import write_brothers
from cases.table import Table
from PIL import Image, ImageOps
from support.command_line import call
from support.lvis_sets import category, make_run

DATA = Path(__file__).parent / "data"
TINY = (
    "--recipe mini_lite0 --no-pretrained --workers 0 --device cpu --set schedule.iterations=1 --set schedule.batch_size=1 "
    "--set data.train_sides_px=[48] --set data.test_side_px=48 --set data.max_side_px=64 "
    "--set heads.proposals_train=[40,20] --set heads.proposals_test=[20,10]"
)
SHORT = {
    "train": f"train --train {{}} --images img {TINY} -o exp",
    "skip": f"train --train {{}} --images img {TINY} -o exp --skip-missing",
    "evaluate": f"train --train ok.json --val {{}} --images img {TINY} -o exp",
    "validate": "validate {} --images img",
    "fix": "validate {} --images img --fix",
    "stats": "stats {}",
    "yolo": "export {} --images img --to yolo -o out",
    "coco": "export {} --images img --to coco -o out",
    "hf": "export {} --images img --to hf -o out",
    "merge": "merge {} run -o merged/all.json --images img --link-images",
    "add": "merge ok.json {} -o merged/all.json --images img --link-images",
    "generate": "generate --vocabulary {} --dry-run --out new",
}
CASES = """
ok                      | validate  | 0 | 0 errors and 0 warnings
ok                      | yolo      | 0 | data set: out
ok                      | merge     | 0 | matched categories: banana
ok                      | train     | 0 | 1 step in
ok                      | evaluate  | 0 | COCO's AP in percent on 2 images
exif_180                | validate  | 0 | EXIF orientation 3
exif_180                | yolo      | 0 | 1 image lost the EXIF mark
exif_180                | hf        | 0 | 1 image lost the EXIF mark
exif_180                | train     | 0 | 1 step in
roboflow_root_same_name | validate  | 0 | 'banana' is only the parent of the others
roboflow_root_same_name | fix       | 0 | root-category 1
roboflow_root_same_name | stats     | 0 | 'banana' is only the parent
roboflow_root_same_name | yolo      | 0 | 'banana' is only the parent
roboflow_root_same_name | train     | 0 | 'banana' is only the parent
roboflow_root_same_name | evaluate  | 0 | 'banana' is only the parent
roboflow_root_same_name | merge     | 0 | matched categories: banana
roboflow_root_same_name | generate  | 0 | 'banana' is only the parent
roboflow_root           | yolo      | 0 | 'fruit-q3Zx' is only the parent
roboflow_root           | merge     | 0 | 'fruit-q3Zx' is only the parent
roboflow_root           | generate  | 0 | 'fruit-q3Zx' is only the parent
infinity                | validate  | 1 | error [empty-object] annotations[0] (id 1)
infinity                | fix       | 0 | infinity 4, annotations left out 1
infinity                | stats     | 0 | 4 numbers are Infinity or NaN
infinity                | yolo      | 2 | annotation 1:
infinity                | train     | 2 | `annotations[0].bbox[0]`
infinity                | merge     | 0 | 4 numbers are Infinity or NaN
infinity_with_mask      | validate  | 1 | --fix takes the mask's
infinity_with_mask      | fix       | 0 | bbox 1
cvat_all_crowd          | validate  | 0 | warning [all-crowds]
cvat_all_crowd          | fix       | 0 | iscrowd 1
cvat_all_crowd          | yolo      | 2 | `mosaicfusion validate --fix` clears the flag
cvat_all_crowd          | train     | 2 | `mosaicfusion validate --fix` clears the flag
cvat_all_crowd          | merge     | 0 | all real annotations have iscrowd 1
all_crowds              | yolo      | 2 | 2 crowds
zero_height             | validate  | 1 | bbox is [29.65, 38.33, 1.03, 0.0]; --fix leaves it out
zero_height             | fix       | 0 | annotations left out 1
zero_height             | yolo      | 0 | left out: objects without a pixel: 1
zero_height             | train     | 0 | left out: objects without a mask: 1
real_urls               | validate  | 0 | 0 errors
polygon_strings         | validate  | 1 | a polygon that is not a list of numbers
polygon_strings         | yolo      | 2 | a polygon that is not a list of numbers
polygon_strings         | hf        | 2 | a polygon that is not a list of numbers
polygon_strings         | train     | 2 | a polygon that is not a list of numbers
polygon_strings         | evaluate  | 2 | a polygon that is not a list of numbers
polygon_strings         | stats     | 0 | masks
polygon_true            | validate  | 1 | a polygon that is not a list of numbers
polygon_true            | yolo      | 2 | a polygon that is not a list of numbers
seg_empty               | validate  | 1 | 1 annotation with a box and no mask
seg_empty               | yolo      | 2 | 1 of 2 annotations have no mask, the first is annotation 1
seg_empty               | merge     | 0 | 1 of 2 real annotations have a box and no mask
seg_empty               | train     | 0 | left out: objects without a mask: 1
seg_null                | merge     | 0 | 1 of 2 real annotations have a box and no mask
seg_null                | train     | 0 | left out: objects without a mask: 1
seg_blank_parts         | yolo      | 2 | 1 of 2 annotations have no mask
seg_blank_parts         | train     | 0 | left out: objects without a mask: 1
seg_object              | train     | 0 | left out: objects without a mask: 1
crowd_null              | validate  | 1 | iscrowd is null; 0 or 1 is needed; --fix writes 0
crowd_null              | fix       | 0 | iscrowd 1
crowd_null              | yolo      | 0 | data set: out
crowd_null              | train     | 0 | needed, are read as such; rows of annotations: 1
crowd_true              | fix       | 0 | iscrowd 1
crowd_true              | train     | 0 | left out: crowds: 1
dotslash                | validate  | 0 | file_name "./a.jpg" is "a.jpg"
dotslash                | fix       | 0 | file_name 1
dotslash                | yolo      | 0 | data set: out
dotslash                | train     | 0 | 1 step in
dotslash                | merge     | 0 | 2 real images are in merged too
backslash               | validate  | 1 | --fix writes "a.jpg"
backslash               | fix       | 0 | file_name 1
backslash               | yolo      | 2 | is absolute or of another system
latin1                  | validate  | 2 | perhaps Latin-1; convert it: iconv
latin1                  | stats     | 2 | perhaps Latin-1
latin1                  | yolo      | 2 | perhaps Latin-1
latin1                  | merge     | 2 | perhaps Latin-1
latin1                  | train     | 2 | perhaps Latin-1
latin1                  | generate  | 2 | perhaps Latin-1
gzip                    | validate  | 0 | 0 errors
gzip                    | yolo      | 0 | data set: out
gzip                    | train     | 0 | 1 step in
gzip                    | generate  | 0 | nothing was generated
utf16                   | validate  | 0 | 0 errors
utf16                   | merge     | 0 | matched categories: banana
utf16                   | generate  | 0 | nothing was generated
size_float              | validate  | 1 | width is 64.0; a whole number is needed; --fix writes 64
size_float              | fix       | 0 | width 2, height 2
size_float              | yolo      | 0 | needed, are read as such; rows of images: 2
size_float              | train     | 0 | needed, are read as such; rows of images: 2
id_float                | yolo      | 0 | needed, are read as such; rows of annotations: 1
id_true                 | validate  | 1 | id is true; a whole number is needed
id_true                 | yolo      | 2 | Expected `int`, got `bool`
category_true           | validate  | 1 | category_id is true
category_true           | train     | 2 | Expected `int`, got `bool`
width_true              | validate  | 1 | height and width are [48, true]
width_true              | yolo      | 2 | Expected `int`, got `bool`
image_id_65_bits        | validate  | 1 | id 18446744073709551616 needs more than 64 bits
image_id_65_bits        | yolo      | 2 | Expected `int` <= 9223372036854775807
image_id_65_bits        | merge     | 2 | Expected `int` <= 9223372036854775807
annotation_id_64_bits   | validate  | 1 | needs more than 64 bits; --fix gives a new one
annotation_id_64_bits   | fix       | 0 | id 1
annotation_id_64_bits   | train     | 2 | Expected `int` <= 9223372036854775807
category_id_70_bits     | validate  | 1 | needs more than 64 bits
category_id_70_bits     | train     | 2 | Expected `int`
category_id_70_bits     | generate  | 2 | at most 9223372036854775807
im_trunc2_jpg           | validate  | 1 | image file is truncated
im_trunc2_jpg           | yolo      | 2 | image file is truncated
im_trunc2_jpg           | train     | 2 | image file is truncated
half_broken             | train     | 2 | 1 of 3 images of half_broken.json cannot be used
half_broken             | skip      | 0 | left out: images that cannot be used: 1
deep                    | validate  | 1 | more than 8 bits per channel
deep                    | train     | 2 | more than 8 bits per channel
deep                    | skip      | 0 | left out: images that cannot be used: 1
gif                     | validate  | 0 | is GIF, which OpenCV and Ultralytics may not read
gif                     | yolo      | 0 | data set: out
gif                     | train     | 0 | 1 step in
avif                    | validate  | 0 | is AVIF, which OpenCV and Ultralytics may not read
avif                    | coco      | 0 | data set: out
avif                    | train     | 0 | 1 step in
webp                    | validate  | 0 | 0 errors and 0 warnings
tiff                    | validate  | 0 | 0 errors and 0 warnings
tiff                    | yolo      | 0 | data set: out
keypoints               | validate  | 0 | 0 errors
keypoints               | coco      | 0 | data set: out
keypoints               | hf        | 0 | data set: out
keypoints               | yolo      | 0 | fields of annotations left out: keypoints, num_keypoints
same_names              | validate  | 0 | name "Banana" occurred before
same_names              | merge     | 2 | --match 'banana=banana' or --match 'banana=Banana'
"""
ROWS = [tuple(part.strip() for part in line.split(" | ")) for line in CASES.strip().splitlines()]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "inputs"
    shutil.copytree(DATA, folder)
    write_brothers(folder)
    make_run(folder / "run", [category(1, "banana"), category(2, "cat")], [[(1, True)], [(1, True), (2, True)]])
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with all inputs."""
    folder = tmp_path / "here"
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(("name", "command", "status", "words"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_outcome(name: str, command: str, status: str, words: str, here: Path, table: Table) -> None:
    before = {path for path in here.rglob("*") if path.is_file()}
    result = call(*SHORT[command].format(f"{name}.json").split(), columns=400)
    said = " ".join(result.output.split())
    table.add(name, command, result, words)
    assert (result.exit_code, words in said) == (int(status), True), result.output
    if result.exit_code == 2:  # nothing is written
        new = {path for path in here.rglob("*") if path.is_file()} - before
        assert new == set() or command == "evaluate"


@pytest.mark.parametrize("name", ["infinity", "infinity_with_mask", "zero_height", "crowd_null", "cvat_all_crowd",
                                  "roboflow_root", "size_float", "dotslash", "annotation_id_64_bits"])  # fmt: skip
def test_a_fix_leaves_nothing_to_fix(name: str, here: Path) -> None:
    call(*f"validate {name}.json --images img --fix -o fixed.json".split())
    again = call(*["validate", "fixed.json", "--images", "img", "--fix"])
    assert again.exit_code == 0
    assert "fixed in fixed.json: nothing" in again.stdout
    assert "0 errors and 0 warnings" in again.stdout
    assert call(*SHORT["yolo"].format("fixed.json").split()).exit_code == 0


def test_a_box_of_infinity_becomes_that_of_the_mask(here: Path) -> None:
    call(*["validate", "infinity_with_mask.json", "--fix"])
    assert json.loads((here / "infinity_with_mask.json").read_text())["annotations"][0]["bbox"] == [8, 8, 23, 23]


def test_no_label_has_a_height_of_zero(here: Path) -> None:
    call(*SHORT["yolo"].format("zero_height.json").split())
    for file in (here / "out/labels").rglob("*.txt"):
        for line in file.read_text().splitlines():
            assert np.ptp(np.array(line.split()[1:], float).reshape(-1, 2), axis=0).min() > 0.1


def test_the_root_of_roboflow_is_in_no_export(here: Path) -> None:
    for name in ("roboflow_root", "roboflow_root_same_name"):
        for to in ("yolo", "coco"):
            call(*f"export {name}.json --images img --to {to} -o {name}-{to}".split())
            listed = json.loads((here / f"{name}-{to}/categories.json").read_text())
            assert [(one["index"], one["name"]) for one in listed] == [(0, "banana"), (1, "cat")]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("pixels", ["stored", "upright"])
def test_turned_images_show_their_objects_in_every_format(orientation: int, pixels: str, here: Path) -> None:
    """The object is white: filled by the label, on the image as viewers show it, nothing else is."""
    name = f"{pixels}_{orientation}"
    checked = call(*SHORT["validate"].format(f"{name}.json").split(), columns=400)
    assert checked.exit_code == 0
    assert f"has the EXIF orientation {orientation}: " in checked.stdout
    assert call(*SHORT["train"].format(f"{name}.json").split()).exit_code == 0
    for to in ("yolo", "hf", "coco"):
        assert call(*f"export {name}.json --images img --to {to} -o {to}".split()).exit_code == 0
    (file,) = (here / "yolo/images/train").iterdir()
    corners = np.array((here / f"yolo/labels/train/{file.stem}.txt").read_text().split()[1:], float).reshape(-1, 2)
    with Image.open(file) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    labelled = np.zeros(shown.shape, np.uint8)
    cv2.fillPoly(labelled, [(corners * shown.shape[::-1]).astype(np.int32)], 1)
    assert np.array_equal(labelled > 0, shown > 128)
    row = pq.read_table(here / "hf/data").to_pylist()[0]
    for data in (row["image"]["bytes"], next((here / "coco/images").iterdir()).read_bytes()):
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(image).convert("L")), shown)


def test_each_advice_of_merge_works(here: Path) -> None:
    """Of two categories whose names differ in case only, either can be chosen, or a new one is added."""
    refused = call(*SHORT["merge"].format("same_names.json").split(), columns=400)
    choices = re.findall(r"--match '([^']*)'", refused.stderr)
    assert choices == ["banana=banana", "banana=Banana", "banana="]
    for number, choice in enumerate(choices):
        result = call("merge", "same_names.json", "run", "-o", f"merged-{number}.json", "--match", choice)
        assert result.exit_code == 0, result.output


def test_real_images_stay_real_whatever_they_went_through(here: Path) -> None:
    call(*SHORT["coco"].format("real_urls.json").split())
    assert call(*["validate", "out/coco.json", "--images", "out"]).exit_code == 0
    assert call(*["merge", "out/coco.json", "run", "-o", "merged/all.json", "--copy-images"]).exit_code == 0
    stats = json.loads(call(*["stats", "merged/all.json", "--json"]).stdout)
    assert {name: part["images"] for name, part in stats["parts"].items()} == {"all": 4, "real": 2, "synthetic": 2}
    assert call(*["export", "merged/all.json", "--to", "coco", "-o", "again"]).exit_code == 0
    images = json.loads((here / "again/coco.json").read_text())["images"]
    assert [image.get("synthetic", False) for image in images] == [False, False, True, True]


def test_mmdetection_finds_every_image_by_coco_url(here: Path) -> None:
    """It joins the image root and ``coco_url`` without the address of COCO's server."""
    call(*SHORT["merge"].format("ok.json").split())
    call(*["export", "run", "--to", "lvis", "-o", "out"])
    for folder, name in ((here / "merged", "all.json"), (here / "out", "lvis.json"), (here / "run", "lvis.json")):
        if not (folder / name).exists():
            call("report", "run")
        synthetic = [one for one in json.loads((folder / name).read_text())["images"] if one.get("synthetic")]
        assert len(synthetic) == 2
        assert all(
            (folder / image["coco_url"].replace("http://images.cocodataset.org/", "")).exists() for image in synthetic
        )
