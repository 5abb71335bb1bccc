"""What users give to the public functions: converted where it is plain what is meant, else refused in one line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from support.hand_made_runs import disc, make_run, region
from support.lvis_sets import write_lvis

import mosaicfusion
from mosaicfusion.cli import app
from mosaicfusion.errors import MosaicFusionError

mf: Any = mosaicfusion  # wrong types on purpose


def refusal(call: Callable[[], Any]) -> str:
    """The message with which the call is refused, in one line."""
    with pytest.raises(MosaicFusionError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    make_run(tmp_path / "run", [[region(0, disc(0)), region(1, disc(1), category="drum")], [region(0, disc(0))]])
    return tmp_path / "run"


def test_all_public_functions_check_their_arguments() -> None:
    functions = {name: getattr(mf, name) for name in dir(mf) if inspect.isfunction(getattr(mf, name))}
    assert {"generate", "merge", "judge", "stats"} < functions.keys()
    assert [name for name, function in functions.items() if "checked" not in function.__code__.co_qualname] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mf.merge("a.json", "b", "c.json", image_mode="hardlink"), "image_mode: 'hardlink' is neither 'copy' nor 'link'"),
        (lambda: mf.merge("a.json", "b.json", "c.json", masks="polygons"), "masks: 'polygons' is neither 'rle' nor 'polygon'"),
        (lambda: mf.merge("a.json", 5, "c.json"), "sources: 5 is neither a text nor a path nor a list"),
        (lambda: mf.export("a.json", "yolo", "out", policy="keep"), "policy: 'keep' is neither 'drop' nor 'not_exhaustive'"),
        (lambda: mf.export("a.json", "yolo", "out", shard_size="9"), "shard_size: '9' is not a whole number"),
        (lambda: mf.open_dataset("a.json", masks="polygons"), "masks: 'polygons' is neither"),
        (lambda: mf.validate("a.json", images=[5]), "5 is neither a path nor a text"),
        (lambda: mf.RunFolder.open(5), "5 is neither a path nor a text"),
        (lambda: mf.generate("kite", "r", config="papr"), "cannot read the settings in papr: No such file or directory; the"),
        (lambda: mf.generate("kite", "r", config={1: 2}), "1: 1 is not the name of a setting"),
        (lambda: mf.load_recipe("mini_lite0", {"data": {"fli": 3}}), "there is no setting data.fli; nearest: data.flip;"),
        (lambda: mf.paste("a.json", "b.json", "c.json", objects=4), "objects: 4 is not 2 values"),
        (lambda: mf.load_annotator("sam3"), "name: 'sam3' is neither 'sam' nor 'sam2' nor 'grabcut'"),
        (lambda: mf.judge("run", "sam3"), "annotator: 'sam3' is neither Annotator nor 'sam' nor"),
        (lambda: mf.generate("kite", "r", canvases_per_category="2"), "canvases_per_category: '2' is not a whole number"),
        (lambda: mf.generate("kite", "r", canvases_per_category=True), "canvases_per_category: True is not a whole number"),
        (lambda: mf.generate("kite", 5), "out: 5 is neither a text nor a path"),
        (lambda: mf.generate("kite", "r", output={"min_qualty": 1}), "there is no setting min_qualty; nearest: min_quality;"),
        (lambda: mf.generate("kite", "r", output={"min_quality": 9}), "min_quality: 9 is not a number up to 1"),
        (lambda: mf.generate("kite", "r", output=9), "output: 9 is neither OutputSettings nor a mapping"),
        (lambda: mf.generate("kite", "r", device={"treads": 1}), "there is no setting treads; nearest: threads; known: device,"),
        (lambda: mf.generate("kite", "r", device={"batch_size": "8"}), "batch_size: '8' is not a whole number"),
        (lambda: mf.generate("kite", "r", device=0), "device: 0 is neither DeviceOptions nor a mapping nor a text"),
        (lambda: mf.generate("kite", "r", scale={"shard": "3of4"}), "shard '3of4' is not NUMBER/COUNT, such as 3/64"),
        (lambda: mf.generate("kite", "r", scale={"worker": 2}), "there is no setting worker; nearest: workers; known: shard,"),
        (lambda: mf.generate("kite", "r", scale="3/64"), "scale: '3/64' is neither Scale nor a mapping"),
        (lambda: mf.retry("r", scale={"workers": 0}), "workers=0 must be at least 1"),
        (lambda: mf.build_dataset("r", "min_quality"), "output: 'min_quality' is neither OutputSettings nor a mapping"),
        (lambda: mf.train("mini_lite", "a.json", "out"), "unknown recipe 'mini_lite'; choose one of"),
        (lambda: mf.train({"schedul": {}}, "a.json", "out"), "there is no setting schedul; nearest: schedule"),
        (lambda: mf.train("mini_lite0", "a.json", "out", {"worker": 1}), "there is no setting worker; nearest: workers"),
        (lambda: mf.TrainOptions(devices=0), "devices=0 must be at least 1"),
        (lambda: mf.Scale("3/64"), "shard: '3/64' is not Shard"),
        (lambda: mf.show("r", "first"), "canvas: 'first' is not a whole number"),
        (lambda: mf.predict("exp", [[0]]), "image: [[0]] is neither ndarray nor a text nor a path"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named_in_one_line(
    call: Callable[[], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(call).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers(run: Path) -> None:
    assert mf.show(run, np.int64(1)).size == mf.show(run, 1).size
    assert mf.Scale(workers=np.int32(2)).workers == 2


def test_a_run_is_its_path_a_text_or_the_run_itself(run: Path) -> None:
    opened = mf.RunFolder.open(run)
    for given in (run, str(run), opened):
        assert mf.status(given).done == 2
        assert mf.build_dataset(given, {"policy": "not_exhaustive"}).instances == 3
        assert mf.judge(given, "grabcut").instances == 3
        assert mf.stats(given).parts["all"].images == 2
        assert mf.open_dataset(given).images == 2


def test_a_run_is_refined_by_the_name_of_an_annotator(run: Path, tmp_path: Path) -> None:
    refined = mf.refine(str(run), "grabcut", str(tmp_path / "out"))
    assert refined.path == tmp_path / "out"
    assert refined.manifest.model.refined_by is not None


def test_one_source_is_merged_like_several(run: Path, tmp_path: Path) -> None:
    real = write_lvis(tmp_path)
    one = mf.merge(str(real), str(run), str(tmp_path / "one.json"))
    several = mf.merge(real, [run], tmp_path / "several.json")
    assert one.added == several.added
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "several.json").read_bytes()


def test_settings_are_mappings_too(tmp_path: Path) -> None:
    summary = mf.generate(
        "kite, drum",
        tmp_path / "run",
        canvases_per_category=1,
        config={"layout": {"grids": ["1x2"]}, "sampling": {"steps": 1}},
        output={"policy": "drop", "masks": "polygon"},
        device={"device": "cpu", "batch_size": 2},
        scale={"shard": "1/1"},
        progress=False,
    )
    assert (summary.canvases, summary.output.policy, summary.output.masks) == (2, "drop", "polygon")


def test_the_documented_functions_of_all_commands_exist() -> None:
    section = (Path(__file__).parents[1] / "docs" / "commands.md").read_text().partition("## In Python")[2]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    commands = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    assert commands == set(typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined]
    called = set(re.findall(r"mf\.(\w+)", section))
    assert {"judge", "semantics", "evaluate"} < called <= {*dir(mf)}
    assert mf.judge is mf.judge_masks
