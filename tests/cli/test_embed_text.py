"""embed-text on the command line: table, file and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import call
from support.shapes_set import write_set
from support.tiny_clip import save_clip

from mosaicfusion.detectors.models.text_embeddings import read_text_embeddings


def embed_text(*arguments: Any) -> Result:
    return call("embed-text", *arguments)


def test_the_categories_of_a_data_set_are_embedded(clip: Path, tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "bow_(weapon)", "def": "it shoots"}, {"id": 2, "name": "[red]kite"}]
    (tmp_path / "train.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    (tmp_path / "templates.txt").write_text("a photo of a {name}\n# a comment\na drawing of a {name}[, {definition}]\n")
    out = tmp_path / "text" / "t.safetensors"
    arguments = ("--vocabulary", tmp_path / "train.json", "--clip", clip, "-o", out, "--device", "cpu")
    result = embed_text(*arguments, "--templates", tmp_path / "templates.txt")
    assert result.exit_code == 0, result.output
    for words in ("2 categories, 16 values each", "bow_(weapon)", "[red]kite", "templates: 2", str(out)):
        assert words in result.stdout
    embeddings = read_text_embeddings(out)
    assert embeddings.identity.categories == ("bow_(weapon)", "[red]kite")
    assert embeddings.identity.templates == ("a photo of a {name}", "a drawing of a {name}[, {definition}]")
    before = out.read_bytes()
    assert embed_text(*arguments, "--templates", tmp_path / "templates.txt").exit_code == 0
    result = embed_text(*arguments)
    assert result.exit_code == 2
    assert "holds the embeddings of other templates" in result.stderr
    assert out.read_bytes() == before


def test_a_category_is_not_similar_to_itself(clip: Path, tmp_path: Path) -> None:
    result = embed_text("-c", "kite, bow", "--clip", clip, "-o", tmp_path / "t", "--device", "cpu")
    (row,) = (line for line in result.stdout.splitlines() if "kite" in line)
    assert "bow" in row
    embeddings = read_text_embeddings(tmp_path / "t")
    assert f"{embeddings.vectors[0] @ embeddings.vectors[1]:.3f}" in row


def test_a_single_name_has_no_similar_one(clip: Path, tmp_path: Path) -> None:
    result = embed_text("-c", "kite", "--clip", clip, "-o", tmp_path / "t", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "1 category, 16 values each" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clip", "{clip}"], "has no vocabulary of its own; give --categories or --vocabulary"),
        (["--clip", "{clip}", "-c", "kite", "--vocabulary", "x.json"], "give --categories or --vocabulary, not both"),
        (["--clip", "{clip}", "--vocabulary", "x.json"], "cannot read x.json"),
        (["--clip", "{clip}", "-c", "kite", "--templates", "x.txt"], "cannot read x.txt"),
        (["--clip", "nope", "-c", "kite"], "there is no CLIP model 'nope'"),
        (["--clip", "{clip}", "-c", "kite", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["--clip", "{clip}", "-c", " , "], "the list of categories is empty"),
    ],
)
def test_invalid_arguments_leave_no_file(clip: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    out = tmp_path / "t.safetensors"
    result = embed_text(*(argument.format(clip=clip) for argument in arguments), "-o", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_help_has_examples() -> None:
    result = embed_text("--help")
    assert result.exit_code == 0
    assert "lvis_v1_train.json" in result.stdout


def test_fvlm_is_trained_and_evaluated_with_embeddings(tmp_path: Path) -> None:
    """Embed categories, train, evaluate; embeddings of another model or of other categories are refused."""
    write_set(tmp_path, "train", first_id=1, count=4)
    write_set(tmp_path, "val", first_id=101, count=2)
    clip = save_clip(tmp_path / "clip")
    text = tmp_path / "t.safetensors"
    embedded = embed_text("--vocabulary", tmp_path / "train.json", "--clip", clip, "-o", text, "--device", "cpu")
    assert embedded.exit_code == 0, embedded.output
    small = ["schedule.iterations=1", "schedule.batch_size=2", f"backbone.name=clip/{clip}", "data.test_side_px=48"]
    small += ["data.train_sides_px=[48]", "data.max_side_px=64", "heads.detections=5", "schedule.warmup_iterations=0"]
    options = ["--images", tmp_path / "images", "--device", "cpu", "--workers", "0"]
    train = ["train", "--train", tmp_path / "train.json", "-r", "mini_fvlm", *options]
    train += [part for setting in small for part in ("--set", setting)]

    trained = call(*train, "--text-embeddings", text, "-o", tmp_path / "exp")
    assert trained.exit_code == 0, trained.output
    scored = call("evaluate", tmp_path / "exp", "--val", tmp_path / "val.json", *options, "--open-vocabulary")
    assert scored.exit_code == 0, scored.output
    assert "AP_novel" in scored.stdout

    other = save_clip(tmp_path / "other", side_px=64)
    other_clip, other_words = tmp_path / "c.safetensors", tmp_path / "w.safetensors"
    assert embed_text("-c", "disc, square, bar", "--clip", other, "-o", other_clip, "--device", "cpu").exit_code == 0
    assert embed_text("-c", "disc, kite", "--clip", clip, "-o", other_words, "--device", "cpu").exit_code == 0
    for file, message in (
        (other_clip, "was made by the CLIP model"),
        (other_words, "no text embedding of 2 of the 3 categories"),
    ):
        refused = call(*train, "--text-embeddings", file, "-o", tmp_path / "none")
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert not (tmp_path / "none").exists()
