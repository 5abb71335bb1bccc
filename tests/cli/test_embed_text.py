"""embed-text on the command line: the table, the file, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tiny_clip import save_clip
from typer.testing import CliRunner

from mosaicfusion.cli import app
from mosaicfusion.detectors.text_embeddings import read_text_embeddings


def call(*arguments: Any) -> Result:
    result = CliRunner().invoke(
        app, ["embed-text", *(str(argument) for argument in arguments)], env={"COLUMNS": "120", "TERM": "dumb"}
    )
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "model")


def test_the_categories_of_a_data_set(clip: Path, tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "bow_(weapon)", "def": "it shoots"}, {"id": 2, "name": "[red]kite"}]
    (tmp_path / "train.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    (tmp_path / "templates.txt").write_text("a photo of a {name}\n# a comment\na drawing of a {name}[, {definition}]\n")
    out = tmp_path / "text" / "t.safetensors"
    arguments = ("--vocabulary", tmp_path / "train.json", "--clip", clip, "-o", out, "--device", "cpu")
    result = call(*arguments, "--templates", tmp_path / "templates.txt")
    assert result.exit_code == 0, result.output
    for words in ("2 categories as vectors of 16 values", "bow_(weapon)", "[red]kite", "templates: 2", str(out)):
        assert words in result.stdout.replace("\n", "") or words in result.stdout
    embeddings = read_text_embeddings(out)
    assert embeddings.identity.categories == ("bow_(weapon)", "[red]kite")
    assert embeddings.identity.templates == ("a photo of a {name}", "a drawing of a {name}[, {definition}]")
    held = out.read_bytes()
    assert call(*arguments, "--templates", tmp_path / "templates.txt").exit_code == 0
    result = call(*arguments)
    assert result.exit_code == 2
    assert "holds the embeddings of other templates" in result.stderr
    assert out.read_bytes() == held


def test_a_single_name_has_nothing_to_be_like(clip: Path, tmp_path: Path) -> None:
    result = call("-c", "kite", "--clip", clip, "-o", tmp_path / "t", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "1 categories as vectors" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clip", "{clip}"], "say which, with --categories or --vocabulary"),
        (["--clip", "{clip}", "-c", "kite", "--vocabulary", "x.json"], "give --categories or --vocabulary, not both"),
        (["--clip", "{clip}", "--vocabulary", "x.json"], "cannot read x.json"),
        (["--clip", "{clip}", "-c", "kite", "--templates", "x.txt"], "cannot read x.txt"),
        (["--clip", "nope", "-c", "kite"], "there is no CLIP model 'nope'"),
        (["--clip", "{clip}", "-c", "kite", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["--clip", "{clip}", "-c", " , "], "the list of categories is empty"),
    ],
)
def test_refusals_leave_no_file(clip: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    out = tmp_path / "t.safetensors"
    result = call(*(argument.format(clip=clip) for argument in arguments), "-o", out)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_help_has_examples() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "lvis_v1_train.json" in result.stdout
