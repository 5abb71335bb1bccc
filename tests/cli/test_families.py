"""Models of every family in the real command line: runs, scenes, and what is refused before anything is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import call
from support.folders import read_files

from mosaicfusion.run.folder import RunFolder

TRANSFORMERS = ("tiny_pixart", "tiny_pixart_sigma", "tiny_sana", "tiny_sd3", "tiny_flux", "tiny_flux_schnell")
TINY = [
    *("--categories", "kite,drum", "-n", "1", "--steps", "2", "--set", "attention.strides_px=[4]"),
    *("--set", 'attention.blocks=["transformer_blocks"]', "--set", "masks.min_area=0", "--set", "masks.max_area=1"),
]
GRID = [
    *("--grid", "1x2", "--set", "layout.region_hw_px=[32,32]", "--set", "layout.overlap_xy_px=[8,8]"),
    *("--set", "layout.centre=0.5", "--set", "layout.group_size=2"),
]
SCENE = [
    *("--layout", "scene", "--objects", "2-3", "--render-scale", "2", "--set", "layout.canvas_hw_px=[64,64]"),
    *["--set", "layout.smallest_px=32", "--set", "layout.step_px=16", "--set", "layout.group_size=2"],
]


def generate(model: Path | str, *arguments: Any, out: str = "run") -> Result:
    return call("generate", *TINY, "--model", model, "--out", out, *arguments, columns=400)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_a_model_folder_gives_a_run(family: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(family)
    assert generate(model, *GRID).exit_code == 0
    records = list(RunFolder.open(Path("run")).records())
    assert len(records) == 2
    for record in records:
        assert record.file_name is not None
        assert len(record.regions) == 2
        assert all(region.kept or region.reason for region in record.regions)
    assert "nothing to do" in generate(model, *GRID).output


@pytest.mark.parametrize("binding", ["tiles", "cutouts"])
@pytest.mark.parametrize("family", ["tiny_pixart", "tiny_sd3", "tiny_flux"])
def test_scenes_are_bound(family: str, binding: str, request: pytest.FixtureRequest) -> None:
    result = generate(request.getfixturevalue(family), *SCENE, "--binding", binding)
    assert result.exit_code == 0, result.output
    assert all(record.file_name for record in RunFolder.open(Path("run")).records())


@pytest.mark.parametrize("family", ["tiny_pixart", "tiny_sana"])
def test_cross_attention_of_a_transformer_is_rendered(family: str, request: pytest.FixtureRequest) -> None:
    assert generate(request.getfixturevalue(family), *SCENE, "--binding", "rendered").exit_code == 0


@pytest.mark.parametrize("family", ["tiny_sd3", "tiny_flux"])
def test_joint_attention_is_not_rendered(
    family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosaicfusion.diffusion.registry.load_model", lambda *_: pytest.fail("the model was loaded"))
    result = generate(request.getfixturevalue(family), *SCENE, "--binding", "rendered")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: binding=rendered needs cross-attention; ")
    assert result.stderr.endswith("has joint attention of image and text: take cutouts or tiles\n")
    assert result.stderr.count("\n") == 1
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("family", "arguments", "words"),
    [
        ("tiny_sd3", '--set attention.blocks=["transformer_blocks.9"]', "no attention to text at attention.strides_px"),
        ("tiny_sd3", "--set attention.strides_px=[8]", "no attention to text at attention.strides_px"),
        ("tiny_sd3", "--set layout.region_hw_px=[64,256]", "takes images of up to 192 px a side; its regions have"),
        ("tiny_sd3", "--set layout.region_hw_px=[34,34]", "must be multiples of 4 for this model; try (32, 32)"),
        ("tiny_sd3", "--scheduler lms", "does not fit this model; choose one of euler, heun, dpm++, model"),
        ("tiny_flux", "--scheduler heun", "does not fit this model; choose one of euler, dpm++, model"),
        ("tiny_flux", "--negative dark", "reads no negative prompt: leave prompt.negative out"),
        ("tiny_pixart", "--scheduler euler-a --steps 1001", "1001 sampling steps are too many"),
    ],
)
def test_what_does_not_fit_is_a_line(family: str, arguments: str, words: str, request: pytest.FixtureRequest) -> None:
    result = generate(request.getfixturevalue(family), *GRID, *arguments.split())
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not Path("run").exists()


@pytest.mark.parametrize("scheduler", ["euler", "heun", "dpm++"])
def test_schedulers_of_flow_matching(scheduler: str, tiny_sd3: Path) -> None:
    result = generate(tiny_sd3, *GRID, "--scheduler", scheduler)
    assert result.exit_code == 0, result.output
    assert all(record.file_name for record in RunFolder.open(Path("run")).records())


def test_a_vocabulary_of_sentencepiece_needs_its_package(tiny_pixart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_pixart, "model")
    for path in Path("model/tokenizer").iterdir():
        path.unlink()
    Path("model/tokenizer/spiece.model").write_bytes(b"")
    monkeypatch.setattr("mosaicfusion.models.pipeline_folder.find_spec", lambda _: None)
    result = generate("model", *GRID)
    assert result.exit_code == 2
    assert "which the package sentencepiece reads: pip install sentencepiece" in result.stderr


def test_stable_diffusion_3_without_t5(tmp_path: Path) -> None:
    from support.tiny_transformers import save_sd3

    assert generate(save_sd3(tmp_path / "model", t5=False), *GRID).exit_code == 0


def test_two_halves_of_a_run_are_the_whole(tiny_sd3: Path) -> None:
    """Interrupted and continued, a run of a transformer is the same to the last byte."""
    assert generate(tiny_sd3, *GRID, "-n", "2", "--batch-size", "1", out="whole").exit_code == 0
    for shard in ("1/2", "2/2"):
        result = generate(tiny_sd3, *GRID, "-n", "2", "--batch-size", "1", "--shard", shard, out="halves")
        assert result.exit_code == 0, result.output
    whole, halves = (read_files(Path(name)) for name in ("whole", "halves"))
    images = [name for name in whole if str(name).endswith(".jpg")]
    assert len(images) == 4
    assert all(whole[name] == halves[name] for name in [*images, *(n for n in whole if str(n) == "lvis.json")])
