"""`predict` on the command line: one image, folders of images, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from faster_coco_eval import COCO
from PIL import Image
from support.command_line import call
from support.shapes_set import write_set

import mosaicfusion as mf

SETTINGS = [
    "schedule.iterations=1", "schedule.batch_size=2", "data.train_sides_px=[48]", "data.test_side_px=48",
    "data.max_side_px=64", "heads.proposals_train=[40,20]", "heads.proposals_test=[20,10]",
]  # fmt: skip


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    write_set(folder, "train", first_id=1, count=2)
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    result = call("train", "--train", folder / "train.json", "--images", folder / "images", "--recipe", "mini_lite0",
                  *settings, "--workers", 0, "--device", "cpu", "--out", folder / "exp")  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder / "exp"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("b.png", "day2/a.jpg", "day2/c.webp", ".hidden/x.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def predict(detector: Path, *arguments: Any) -> Result:
    return call("predict", detector, *arguments, "--device", "cpu", "--min-score", 0)


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_gives_overlays_and_a_coco_json(detector: Path, photos: Path, tmp_path: Path) -> None:
    found = tmp_path / "found"
    result = predict(detector, photos, "-o", found)
    assert result.exit_code == 0, result.output
    assert "objects in 3 images" in result.stdout and "left out" not in result.stdout
    assert written(found) == {"b.png", "day2/a.jpg", "day2/c.webp.png", "detections.json"}

    coco = COCO(str(found / "detections.json"))
    data = json.loads((found / "detections.json").read_text())
    assert data["info"]["complete"]
    assert [image["file_name"] for image in data["images"]] == ["b.png", "day2/a.jpg", "day2/c.webp"]
    assert {(image["width"], image["height"]) for image in data["images"]} == {(64, 48)}
    assert {category["name"] for category in data["categories"]} == {"disc", "square", "bar"}
    assert data["annotations"]
    for annotation in data["annotations"]:
        mask = coco.annToMask(annotation)
        assert mask.shape == (48, 64) and mask.sum() == annotation["area"] > 0
        assert 0 <= annotation["score"] <= 1
        assert annotation["category_id"] in {category["id"] for category in data["categories"]}
    checked = call("validate", found / "detections.json", "--images", photos)
    assert checked.exit_code == 0, checked.output

    again = predict(detector, photos, "-o", found)  # its own folder may be written again
    assert again.exit_code == 0, again.output


def test_the_same_from_python(detector: Path, photos: Path, tmp_path: Path) -> None:
    predict(detector, photos, "-o", tmp_path / "a")
    seen: list[tuple[int, int]] = []
    found = mf.predict_folder(
        str(detector), str(photos), str(tmp_path / "b"), min_score=0, on_image=lambda *done: seen.append(done)
    )
    assert found.images == 3
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert found.path.read_bytes() == (tmp_path / "a" / "detections.json").read_bytes()


def test_an_output_inside_the_photos_is_no_input(detector: Path, photos: Path) -> None:
    for _ in range(2):
        result = predict(detector, photos, "-o", photos / "found")
        assert result.exit_code == 0, result.output
        assert "3 images" in result.stdout


def test_several_images(detector: Path, photos: Path, tmp_path: Path) -> None:
    result = predict(detector, photos / "b.png", photos / "day2/a.jpg", "-o", tmp_path / "found")
    assert result.exit_code == 0, result.output
    assert written(tmp_path / "found") == {"a.jpg", "b.png", "detections.json"}
    one = predict(detector, photos / "b.png", "-o", tmp_path / "one")
    assert one.exit_code == 0, one.output
    assert written(tmp_path / "one") == {"b.png", "detections.json"}


def test_broken_images_are_named_and_left_out(detector: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes((photos / "day2/a.jpg").read_bytes()[:300])
    (photos / "line\nbreak.png").write_bytes((photos / "b.png").read_bytes())
    result = predict(detector, photos, "-o", tmp_path / "found")
    assert result.exit_code == 0, result.output
    assert "left out: 2 of 5 images" in result.stdout
    assert '"broken.jpg" was left out' in result.stderr and '"line\\nbreak.png" was left out' in result.stderr
    assert "broken.jpg" not in written(tmp_path / "found")

    for file in photos.rglob("*"):
        if file.is_file():
            file.write_bytes(b"broken")
    none = predict(detector, photos, "-o", tmp_path / "none")
    assert none.exit_code == 2
    assert "none of 5 images can be read" in none.stderr
    assert not (tmp_path / "none").exists()


def test_nothing_of_a_user_is_overwritten(detector: Path, photos: Path, tmp_path: Path) -> None:
    before = {name: (photos / name).read_bytes() for name in written(photos)}
    (tmp_path / "own").mkdir()
    (tmp_path / "own/detections.json").write_text('{"images": []}')
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/day2").symlink_to(tmp_path / "own")
    same = tmp_path / "same"
    for folder in ("one", "two"):
        (same / folder).mkdir(parents=True)
        (same / folder / "b.png").write_bytes(before["b.png"])
    cases = [
        ((photos, "-o", photos), "would be overwritten"),
        ((photos, "-o", tmp_path / "own"), "holds files, but none of an earlier prediction"),
        ((photos, "-o", tmp_path / "linked"), "leads out of"),
        ((photos, "-o", tmp_path / "x.png"), "give a folder"),
        ((photos / "b.png", photos / "day2/a.jpg", "-o", photos / "b.png"), "give a folder"),
        ((same / "one", same / "two", "-o", tmp_path / "x"), "would both be b.png"),
        ((tmp_path / "absent", "-o", tmp_path / "x"), "does not exist"),
        ((tmp_path / "own", "-o", tmp_path / "x"), "no image in"),
    ]
    for arguments, words in cases:
        result = predict(detector, *arguments)
        assert result.exit_code == 2, arguments
        assert words in " ".join(result.stderr.split())
    assert {name: (photos / name).read_bytes() for name in written(photos)} == before
    assert (tmp_path / "own/detections.json").read_text() == '{"images": []}'
    assert not (tmp_path / "x").exists()
