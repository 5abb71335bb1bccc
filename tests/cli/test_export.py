"""`mosaicfusion export`: every format, what is printed, and the files that invalid input leaves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.command_line import call
from support.images import encode
from support.manifests import make_manifest

from mosaicfusion.categories import Category
from mosaicfusion.dataset.export import FORMATS
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord

FILES = {
    "coco": "coco.json",
    "lvis": "lvis.json",
    "yolo": "data.yaml",
    "voc": "ImageSets/Main/train.txt",
    "webdataset": "shard-000000.tar",
    "hf": "data/train-00000-of-00001.parquet",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two canvases of 24 x 32 pixels, a banana and a rejected teapot on each."""
    mask = np.zeros((24, 32), bool)
    mask[4:12, 5:20] = True
    categories = [Category(1, "banana"), Category(2, "teapot")]
    run = RunFolder.open_or_create(tmp_path_factory.mktemp("export") / "run", make_manifest(1, categories, categories))
    box = tuple(rle.box_xywh(mask))
    kept = RegionRecord(1, "banana", "", (0, 0, 20, 24), area=120, box_xywh=box, segmentation=dict(rle.encode(mask)))
    rejected = RegionRecord(2, "teapot", "", (12, 0, 20, 24), reason="area")
    names = [run.write_image(index, encode(np.zeros((24, 32, 3), np.uint8))) for index in range(2)]
    run.write_part([CanvasRecord(index, (24, 32), 0, name, (kept, rejected)) for index, name in enumerate(names)])
    return run.path


@pytest.mark.parametrize("to", FILES)
def test_every_format_is_written(run: Path, tmp_path: Path, to: str) -> None:
    result = call("export", run, "--to", to, "--policy", "not_exhaustive", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for shown in ("images", "instances", "categories", "size", f"data set: {tmp_path / 'out'}"):
        assert shown in result.stdout
    assert re.search(r"2 \S+ +2 \S+ +2 \S+ +[\d.]+ [kM]?B", result.stdout)
    assert (tmp_path / "out" / FILES[to]).stat().st_size
    listed = json.loads((tmp_path / "out/categories.json").read_text())
    assert [(category["index"], category["name"]) for category in listed] == [(0, "banana"), (1, "teapot")]


def test_an_exported_json_can_be_exported_again(run: Path, tmp_path: Path) -> None:
    """The json and images of an export are a source of another export."""
    arguments = ["--policy", "not_exhaustive", "--masks", "rle"]
    assert call("export", run, "--to", "lvis", *arguments, "-o", tmp_path / "one").exit_code == 0
    again = ["--to", "lvis", "--images", tmp_path / "one", "--masks", "rle", "-o", tmp_path / "two"]
    result = call("export", tmp_path / "one/lvis.json", *again)
    assert result.exit_code == 0, result.output
    one, two = (json.loads((tmp_path / name / "lvis.json").read_text()) for name in ("one", "two"))
    assert one["annotations"] == two["annotations"]
    assert one["categories"] == two["categories"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "hf", "--val-fraction", "0.5"], "hf is written whole, without a split"),
        (["--to", "yolo", "--masks", "rle"], "yolo holds masks as polygon, not rle"),
        (["--to", "coco", "--images", "x"], "is a run folder and holds its images"),
        (["--to", "xml"], "there is no format 'xml'; choose one of"),
    ],
)
def test_invalid_arguments_are_refused(run: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = call("export", run, *arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_leaves_no_image_is_refused(run: Path, tmp_path: Path) -> None:
    result = call("export", run, "--to", "coco", "-o", tmp_path / "out")
    assert "holds no canvas that the policy drop accepts; try --policy not_exhaustive" in result.stderr
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_a_folder_with_files_is_refused(run: Path, tmp_path: Path) -> None:
    result = call("export", run, "--to", "coco", "--policy", "not_exhaustive", "-o", run)
    assert result.exit_code == 2
    assert "exists already; give an empty or a new folder with --out" in result.stderr


def test_a_missing_extra_is_named(run: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from mosaicfusion.cli import main; main()"
    command = [sys.executable, "-c", code, "export", str(run), "--to", "hf", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == 'error: --to hf needs pyarrow: pip install "mosaicfusion[export]"'
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example_for_each_format() -> None:
    output = " ".join(call("export", "--help").stdout.split())
    for to in FILES:
        assert f"--to {to}" in output


def test_help_lists_every_format() -> None:
    output = call("export", "--help").stdout
    assert all(name in output for name in FORMATS)
