"""Every fault is reported with its place, valid sets have none, and repairs derive what the file allows."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.images import encode
from support.lvis_sets import REAL_COCO, REAL_LVIS, category, jpeg, make_run, read, write_json, write_lvis

from mosaicfusion.dataset.merge import merge
from mosaicfusion.dataset.validate import fix, validate
from mosaicfusion.errors import MosaicFusionError

IMAGE: dict[str, Any] = json.loads(json.dumps(REAL_COCO))["images"][0]
VALID: dict[str, Any] = json.loads(REAL_LVIS)
for number, record in enumerate(VALID["categories"], start=1):  # detectron2 requires 1 to N
    ids = {record["id"]: number}
    record["id"] = number
    for row in VALID["annotations"]:
        row["category_id"] = ids.get(row["category_id"], row["category_id"])
    for row in VALID["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            row[key] = [ids.get(id_, id_) for id_ in row[key]]


def lines(folder: Path, data: Any, **options: Any) -> list[str]:
    return validate(write_json(folder / "data.json", data), **options).issues.lines()


def changed(place: str, **fields: Any) -> dict[str, Any]:
    """The valid set with some fields of a row replaced, or left out where they are ``...``."""
    data = copy.deepcopy(VALID)
    key, _, index = place.partition(".")
    row = {**data[key][int(index)], **fields}
    data[key][int(index)] = {name: value for name, value in row.items() if value is not ...}
    return data


def test_valid_sets_have_no_issue(tmp_path: Path) -> None:
    assert lines(tmp_path, VALID) == []
    assert lines(tmp_path, REAL_COCO) == []  # the fields that only LVIS has are not required
    coco, real = (write_json(tmp_path / name, data) for name, data in (("coco.json", REAL_COCO), ("real.json", VALID)))
    run = make_run(tmp_path / "run", [category(1, "kite"), category(2, "zebra")], [[(1, True), (2, True)]] * 2)
    merge(real, [run], tmp_path / "out.json", masks="polygon", image_mode="copy")
    (tmp_path / "train2017").mkdir()
    for name in ("50", "51"):
        (tmp_path / f"train2017/0000000000{name}.jpg").write_bytes(jpeg())
    report = validate(tmp_path / "out.json", tmp_path)
    assert report.issues.lines() == []
    assert (report.images, report.annotations, report.categories) == (4, 7, 4)
    merge(coco, [run], tmp_path / "coco_plus.json")
    assert validate(tmp_path / "coco_plus.json").issues.lines() == []  # still COCO


def test_run_lengths_and_ids_are_reported_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [category(7, "kite")], [[(7, True), (7, True)]])
    merge(write_lvis(tmp_path), [run], tmp_path / "out.json")
    assert validate(tmp_path / "out.json").issues.lines() == [
        "warning [category-ids] categories: the ids of 3 categories are not 1 to 3; detectron2's LVIS loader takes id - 1 "
        "for the class: `export --categories lvis_v1_train.json` writes all categories of LVIS, `merge --renumber` new ids",
        "warning [run-lengths] annotations: 2 masks are run lengths; detectron2's LVIS loader takes polygons: merge with "
        "--masks polygon",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed("annotations.0", id=8), "error [id] annotations[1]: id 8 occurred before"),
        (changed("annotations.0", id=...), "error [id] annotations[0]: id is null"),
        (changed("annotations.0", id=True), "error [id] annotations[0]: id is true"),
        (changed("annotations.1", image_id=5), "error [reference] annotations[1] (id 8): image_id is 5, which is not among"),
        (changed("annotations.1", category_id=[1]), "(id 8): category_id is [1], which is not among the category ids"),
        (changed("annotations.0", bbox=[1, 2, 3]), "error [bbox] annotations[0] (id 3): bbox is [1, 2, 3]"),
        (changed("annotations.0", bbox=[2, 3, 8, 0]), "error [bbox] annotations[0] (id 3): bbox is [2, 3, 8, 0]"),
        (changed("annotations.0", bbox=[2, 3, 8, 12]), "bbox is [2, 3, 8, 12], the mask's [2.0, 3.0, 8.0, 8.0]"),
        (changed("annotations.0", area=None), "error [area] annotations[0] (id 3): area is null"),
        (changed("annotations.0", area=10**300), "error [area] annotations[0] (id 3): area is 1000"),
        (changed("annotations.0", bbox=[10**300, 1, 1, 1]), "error [bbox] annotations[0] (id 3): bbox is [1000"),
        (changed("annotations.0", segmentation=[[10**400, 1, 1, 1, 2, 2]]), "a polygon that is not a list of numbers"),
        (changed("annotations.0", iscrowd=True), "error [iscrowd] annotations[0] (id 3): iscrowd is true; 0 or 1"),
        (changed("annotations.0", area=90), "area is 90; the mask has 64"),
        (changed("annotations.1", segmentation=[[20, 3, 28, 3, 20, 7]]), "area is 32, which is its box's; the mask has 16"),
        (changed("annotations.0", segmentation=[[0, 0, 1, 1]]), "error [mask] annotations[0] (id 3): segmentation holds a"),
        (changed("annotations.0", segmentation={"size": [3, 3], "counts": "9"}), "has the size [3, 3], its image [32, 48]"),
        (
            changed("annotations.2", segmentation=[[-4, 0, 4, 0, 4, 4, -4, 4]], bbox=[-4, 0, 8, 4], area=32),
            "warning [outside] annotations[2] (id 9): the mask [-4.0, 0.0, 8.0, 4.0] extends beyond its image of 48 x 32",
        ),
        (changed("images.0", neg_category_ids=[1]), "category 1 is in neg_category_ids of image 50"),
        (changed("images.0", neg_category_ids=...), "error [lists] images[0] (id 50): neg_category_ids is missing"),
        (changed("images.0", neg_category_ids=["1"]), 'neg_category_ids is ["1"]; give a list of category ids'),
        (changed("images.0", not_exhaustive_category_ids=[77]), "not_exhaustive_category_ids holds 77, which no category has"),
        (changed("images.1", id=50), "error [id] images[1]: id 50 occurred before"),
        (changed("images.1", height="32"), 'error [size] images[1] (id 51): height and width are ["32", 48]'),
        (changed("images.1", width=10**9), "height and width are [32, 1000000000]"),
        (changed("images.1", file_name="../a.jpg"), 'error [path] images[1] (id 51): file_name "../a.jpg" leaves its folder'),
        (changed("images.1", file_name="C:\\a.jpg"), "is absolute or of another system"),
        (changed("images.1", file_name=7), "file_name is 7; give a text"),
        (changed("images.1", coco_url="http://x/../..", file_name="a.jpg"), 'end of coco_url "../.." leaves its folder'),
        (changed("images.1", coco_url=...), "has no file_name, and coco_url is null"),
        (changed("images.1", coco_url=..., file_name="a.jpg"), "error [coco_url] images[1] (id 51): coco_url is null"),
        (changed("images.1", coco_url="x/train2017/000000000050.jpg"), 'error [same-file] images[1] (id 51): "train2017/0'),
        (changed("images.1", coco_url="s3://b/a.jpg"), "error [file_name] images[1] (id 51): file_name is missing"),
        (changed("images.1", file_name="COCO/000000051.jpg"), 'as "CO/000000051.jpg"'),
        (changed("categories.1", id=1), "error [id] categories[1]: id 1 occurred before"),
        (changed("categories.1", name=""), "error [name] categories[1] (id 2): name is"),
        (changed("categories.1", name="KITE"), 'warning [name] categories[1] (id 2): name "KITE" occurred before'),
        (changed("categories.1", frequency="x"), 'error [frequency] categories[1] (id 2): frequency is "x"'),
        (changed("categories.1", image_count=5), "warning [counts] categories[1] (id 2): image_count is 5, counted 1"),
        ({**VALID, "images": [7]}, "error [schema] images[0]: is 7; an object is needed"),
        ({**VALID, "annotations": [[]]}, "error [schema] annotations[0]: is []"),
    ],
)  # fmt: skip
def test_each_fault_is_reported_with_its_place(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    found = lines(tmp_path, data)
    assert any(message in line for line in found), found


def test_names_of_lvis_v05_are_valid_and_control_characters_are_not_printed(tmp_path: Path) -> None:
    name = "COCO_val2014_000000266409.jpg"
    assert lines(tmp_path, changed("images.0", file_name=name)) == []
    (line,) = lines(tmp_path, changed("images.0", file_name="\x1b[31m" + "x" * 1000))
    assert "\x1b" not in line
    assert len(line) < 200


def test_only_some_issues_of_a_kind_are_shown(tmp_path: Path) -> None:
    data = copy.deepcopy(VALID)
    data["annotations"] = [{**data["annotations"][0], "id": k, "area": 1} for k in range(9)]
    found = [line for line in lines(tmp_path, data, max_per_kind=2) if "[area]" in line]
    assert len(found) == 3
    assert found[-1] == "error [area] ... 7 more of this kind, 9 in total"


def test_image_files_are_checked(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "train2017").mkdir(parents=True)
    assert sum("[missing-file]" in line for line in lines(tmp_path, VALID, images=root)) == 2
    (root / "train2017/000000000050.jpg").write_bytes(b"no image")
    Image.new("L", (32, 48)).save(root / "train2017/000000000051.jpg")
    broken, turned = sorted(lines(tmp_path, VALID, images=root))
    assert broken.startswith("error [broken-file] images[0] (id 50)")
    assert turned.startswith(
        "error [image-size] images[1] (id 51): is 32 x 48 (height x width) in the json, 48 x 32 in"
    )
    with pytest.raises(MosaicFusionError, match="there is no folder"):
        validate(tmp_path / "data.json", tmp_path / "none")


def test_a_synthetic_image_is_not_mistaken_for_one_of_coco(tmp_path: Path) -> None:
    """Canvas 1 and COCO's image 1 are both called 000000000001.jpg."""
    run = make_run(tmp_path / "run", [category(1, "kite")], [[(1, True)], [(1, True)]])
    merge(write_json(tmp_path / "coco.json", REAL_COCO), [run], tmp_path / "out.json")
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017" / "000000000001.jpg").write_bytes(jpeg())
    found = validate(tmp_path / "out.json", tmp_path / "train2017").issues.lines()
    assert [line.partition(" (")[0] for line in found] == [f"error [missing-file] images[{k}]" for k in (1, 2)]


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    lines(tmp_path, VALID, on_progress=lambda *done: calls.append(done))
    assert calls[-1] == (5, 5)


def coco(**fields: Any) -> dict[str, Any]:
    """The COCO set with fields of its one annotation replaced."""
    data: dict[str, Any] = copy.deepcopy(REAL_COCO)
    data["annotations"][0] |= fields
    return data


class TestOddInput:
    """Input that other tools write: named by a line, and repaired where it has one meaning."""

    @pytest.mark.parametrize(
        ("data", "message", "repairs"),
        [
            (coco(iscrowd=None), "iscrowd is null; 0 or 1 is needed; --fix writes 0", {"iscrowd": 1}),
            (coco(category_id=2.0), "category_id is 2.0; a whole number is needed", {"category_id": 1}),
            (coco(iscrowd=1), "all 1 have iscrowd 1, as CVAT writes masks", {"iscrowd": 1}),
            (coco(bbox=[0, 0, 4, 0], area=0, segmentation=[[0, 0, 4, 0, 4, 0]]), "[empty-object] annotations[0] (id 5)",
             {"annotations left out": 1}),
            (coco(bbox=[float("inf")] * 4), "4 numbers are Infinity or NaN", {"infinity": 4, "bbox": 1}),
            (coco(bbox=[float("nan")] * 4, segmentation=[[]]), "bbox is [null, null, null, null]",
             {"infinity": 4, "annotations left out": 1}),
            ({**REAL_COCO, "categories": [{"id": 0, "name": "toys-x1", "supercategory": "none"},
                                          {"id": 2, "name": "kite", "supercategory": "toys-x1"}]},
             "'toys-x1' is only the parent of the others", {"root-category": 1}),
            ({**REAL_COCO, "images": [{**IMAGE, "height": 32.0}]}, "height is 32.0", {"height": 1}),
            *(({**REAL_COCO, "images": [{**IMAGE, "file_name": name}]}, message, {"file_name": 1})
              for name, message in (("./a/./b.jpg", '"./a/./b.jpg" is "a/b.jpg"'), ("a\\b.jpg", '--fix writes "a/b.jpg"'),
                                    ("https://x.org/b.jpg?w=9", "is an address"))),
        ],
    )  # fmt: skip
    def test_it_is_named_and_repaired(
        self, tmp_path: Path, data: dict[str, Any], message: str, repairs: dict[str, int]
    ) -> None:
        found = lines(tmp_path, data)
        assert any(message in line for line in found), found
        assert dict(fix(tmp_path / "data.json", tmp_path / "fixed.json")) == repairs
        assert validate(tmp_path / "fixed.json").issues.lines() == []

    @pytest.mark.parametrize("name", ["/home/me/photos/b/a.jpg", "C:\\photos\\b\\a.jpg", "../b/a.jpg"])
    def test_paths_of_another_machine_are_found_under_the_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b/a.jpg").write_bytes(jpeg())
        path = write_json(tmp_path / "data.json", {**REAL_COCO, "images": [{**IMAGE, "file_name": name}]})
        fix(path, path, tmp_path)
        assert read(path)["images"][0]["file_name"] == "b/a.jpg"
        assert validate(path, tmp_path).issues.lines() == []

    def test_boxes_without_masks_are_counted(self, tmp_path: Path) -> None:
        found = lines(tmp_path, coco(segmentation=[]))
        assert "warning [boxes-only] annotations: 1 annotation with a box and no mask" in found[1]

    def test_a_number_that_no_float_holds_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "data.json"
        path.write_text(json.dumps(coco(area=123456)).replace("123456", "1e400"))
        assert any("area is null; --fix takes the mask's" in line for line in validate(path).issues.lines())
        path.write_text(json.dumps(coco(area=123456)).replace("123456", "1" * 300 + "e99"))  # not known by its looks
        (line,) = validate(path).issues.lines()
        assert line.startswith("error [schema] annotations[0]: holds a value that cannot be read")

    def test_a_compressed_file_is_repaired_in_place(self, tmp_path: Path) -> None:
        path = tmp_path / "data.json.gz"
        path.write_bytes(gzip.compress(json.dumps(coco(area=9)).encode()))
        assert dict(fix(path, path)) == {"area": 1}
        assert json.loads(gzip.decompress(path.read_bytes()))["annotations"][0]["area"] == 16


class TestImageFiles:
    """Files of one image, 32 x 48 (height x width), in the json."""

    def found(self, folder: Path, data: bytes) -> list[str]:
        (folder / "000000000001.jpg").write_bytes(data)
        return lines(folder, REAL_COCO, images=folder)

    def test_half_a_jpeg_is_broken(self, tmp_path: Path) -> None:
        whole = encode(np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8))
        assert self.found(tmp_path, whole) == []
        (line,) = self.found(tmp_path, whole[: len(whole) // 2])
        assert "[broken-file]" in line and "truncated" in line

    @pytest.mark.parametrize(
        ("orientation", "hw", "expected"),
        [
            (1, (32, 48), None),
            (3, (32, 48), "warning [exif]"),
            (6, (32, 48), "warning [exif]"),
            (6, (48, 32), "warning [exif]"),
            (8, (48, 33), "error [image-size]"),
        ],
    )
    def test_orientations_are_named(
        self, tmp_path: Path, orientation: int, hw: tuple[int, int], expected: str | None
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        found = self.found(tmp_path, encode(np.zeros(hw, np.uint8), exif=exif))
        assert [line.partition("] ")[0] + "]" for line in found] == ([expected] if expected else [])


class TestFix:
    @pytest.mark.parametrize(
        ("data", "repairs"),
        [
            (VALID, {}),
            (changed("annotations.1", id=3), {"id": 1}),
            (changed("annotations.1", id=...), {"id": 1}),
            (changed("annotations.0", bbox=[0, 0, 5, 5], area=...), {"bbox": 1, "area": 1}),
            (changed("images.0", neg_category_ids=..., not_exhaustive_category_ids=None),
             {"neg_category_ids": 1, "not_exhaustive_category_ids": 1}),
            (changed("images.0", neg_category_ids=[1, 3]), {"neg_category_ids": 1}),
            (changed("images.0", coco_url="s3://bucket/val/1.jpg"), {"file_name": 1}),
            (changed("images.0", coco_url=..., file_name="val/1.jpg"), {"coco_url": 1}),
            (changed("categories.2", image_count=..., instance_count=9), {"image_count": 1, "instance_count": 1}),
        ],
    )  # fmt: skip
    def test_derivable_fields_are_repaired(self, tmp_path: Path, data: dict[str, Any], repairs: dict[str, int]) -> None:
        path = write_json(tmp_path / "data.json", data)
        counted = fix(path, tmp_path / "fixed.json")
        assert dict(counted) == repairs
        assert validate(tmp_path / "fixed.json").issues.lines() == []
        assert read(path) == data  # -o leaves the input alone

    def test_annotations_of_unlisted_images_do_not_count(self, tmp_path: Path) -> None:
        """A json with a subset of the images has such annotations; they are errors that stay."""
        data = changed("annotations.0", image_id=999)
        path = write_json(tmp_path / "data.json", data)
        fix(path, path)
        lines = validate(path).issues.lines()
        assert lines and all("999" in line for line in lines), lines
        assert not fix(path, path)

    def test_other_fields_keep_their_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "data.json").write_text(REAL_LVIS.replace('"area": 64.0', '"area": 640'), encoding="utf-8")
        assert fix(tmp_path / "data.json", tmp_path / "data.json")["area"] == 1
        text = (tmp_path / "data.json").read_text(encoding="utf-8")
        for written in (
            '[1.10, {"deep": null}]',
            r"a\u0301 \u00e9",
            "8.000000000000001",
            "28.000000000000001",
            '"mood":"good"',
        ):
            assert written in text

    def test_sizes_are_read_from_the_files(self, tmp_path: Path) -> None:
        (tmp_path / "train2017").mkdir()
        (tmp_path / "train2017" / "000000000050.jpg").write_bytes(jpeg())
        path = write_json(tmp_path / "data.json", changed("images.0", height=..., width=None))
        repairs = fix(path, path, tmp_path)
        assert (repairs["height"], repairs["width"]) == (1, 1)
        assert read(path)["images"][0]["height"] == 32

    def test_underivable_fields_stay(self, tmp_path: Path) -> None:
        """Nothing with any content is removed, and nothing is invented."""
        data = changed("annotations.0", segmentation=[], image_id=77)
        data["images"][1] = {"id": 51, "file_name": "../../etc/passwd", "height": 32, "width": 48}
        data["annotations"].append("nonsense")
        path = write_json(tmp_path / "data.json", data)
        fix(path, tmp_path / "fixed.json")
        fixed = read(tmp_path / "fixed.json")
        assert fixed["annotations"] == data["annotations"]
        assert "coco_url" not in fixed["images"][1]

    def test_a_truncated_file_is_refused_and_stays(self, tmp_path: Path) -> None:
        (tmp_path / "data.json").write_text('{"images": [')
        with pytest.raises(MosaicFusionError, match="not whole JSON"):
            fix(tmp_path / "data.json", tmp_path / "data.json")
        assert (tmp_path / "data.json").read_text() == '{"images": ['


Junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 60)
    | st.just(10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.just("train2017/1.jpg"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def damage(data: dict[str, Any], draw: Callable[[Any], Any]) -> None:
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.sampled_from(["images", "annotations", "categories"]))
        row = data[key][draw(st.integers(0, len(data[key]) - 1))]
        row[draw(st.sampled_from(sorted(row)))] = draw(Junk)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_fields_are_reported_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any value in a field is reported; a second repair finds nothing more to do."""
    folder = tmp_path_factory.mktemp("damaged")
    damaged = copy.deepcopy(VALID)
    damage(damaged, data.draw)
    path = write_json(folder / "data.json", damaged)
    before = validate(path, folder)
    fix(path, folder / "fixed.json", folder)
    after = validate(folder / "fixed.json", folder)
    assert after.issues.number("error") <= before.issues.number("error")
    assert not fix(folder / "fixed.json", folder / "again.json", folder)
