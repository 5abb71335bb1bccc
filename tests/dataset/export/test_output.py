"""The folder of an export appears whole or not at all, wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.export.output import whole_or_absent
from mosaicfusion.errors import MosaicFusionError


@pytest.fixture
def memory() -> Any:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def names(fs: Any, root: str) -> dict[str, bytes]:
    return {path.removeprefix(root).lstrip("/"): fs.cat_file(path) for path in fs.find(root)}


@pytest.mark.parametrize("to", ["coco", "lvis", "yolo", "voc", "webdataset", "hf"])
def test_an_export_to_a_url_equals_that_to_a_folder(coco: Any, tmp_path: Path, memory: Any, to: Any) -> None:
    done = [export(coco.source, to, out, **coco.arguments) for out in (tmp_path / "out", "memory://sets/out")]
    here, there = names(fsspec.filesystem("file"), str(tmp_path / "out")), names(memory, "/sets/out")
    assert here == there
    assert here.pop(".export.json")
    assert done[0].size == done[1].size == sum(map(len, here.values()))
    assert memory.ls("/sets", detail=False) == ["/sets/out"]


def test_a_file_url_is_a_folder(run: Any, tmp_path: Path) -> None:
    export(run.source, "webdataset", f"file://{tmp_path}/deep/out")
    assert {path.name for path in (tmp_path / "deep/out").glob("[!.]*")} == {"shard-000000.tar", "categories.json"}


@pytest.mark.parametrize("scheme", ["{}", "memory://{}"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_export_leaves_nothing(run: Any, tmp_path: Path, memory: Any, scheme: str, error: Any) -> None:
    def fail(done: float, total: int) -> None:
        if done == 1:
            raise error

    with pytest.raises(error):
        export(run.source, "coco", scheme.format(tmp_path / "sets" / "out"), on_progress=fail)
    assert memory.find("/") == []
    assert not (tmp_path / "sets").exists() or list((tmp_path / "sets").iterdir()) == []


def test_the_folder_appears_at_the_end(tmp_path: Path) -> None:
    with whole_or_absent(str(tmp_path / "out")) as folder:
        folder.write("a/b.txt", b"1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"1"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with whole_or_absent(f"{tmp_path}/out/") as folder:
        folder.write("a", b"1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_existing_files_are_refused_and_stay(tmp_path: Path, memory: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("1")
    (tmp_path / "file").write_text("1")
    memory.pipe_file("/out/mine", b"1")
    for out in (str(tmp_path / "out"), str(tmp_path / "file"), "memory://out"):
        with (
            pytest.raises(MosaicFusionError, match="exists already; give an empty or a new folder with --out"),
            whole_or_absent(out),
        ):
            raise AssertionError
    assert (tmp_path / "out/mine").read_text() == (tmp_path / "file").read_text() == "1"
    assert memory.find("/") == ["/out/mine"]


def test_a_folder_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(MosaicFusionError, match=r"cannot write .*out: Directory not empty"),
        whole_or_absent(str(tmp_path / "out")) as folder,
    ):
        folder.write("a", b"1")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("nosuch://bucket/x", "cannot write nosuch://bucket/x: Protocol not known"),
        ("memory://a*", r"memory://a\* holds one of \* \? \["),
        ("memory://", "memory:// names no folder"),
        ("/", "/ exists already|/ names no folder"),
        ("/dev/null/x", "cannot write /dev/null/x: Not a directory"),
    ],
)
def test_impossible_places_are_refused(out: str, message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message), whole_or_absent(out) as folder:
        folder.write("a", b"1")


def test_an_occupied_place_is_refused_before_the_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("1")
    with pytest.raises(MosaicFusionError, match="exists already"):
        export(tmp_path / "none", "coco", tmp_path / "out")


def test_a_bad_source_makes_no_folders(tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="cannot read"):
        export(tmp_path / "none", "coco", tmp_path / "deep" / "out")
    assert list(tmp_path.iterdir()) == []
