"""Text embeddings: rows by label, identity of the file, and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support.tiny_clip import save_clip

from mosaicfusion.categories import Category, from_names
from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.detectors.models.text_embeddings import TextEmbeddings, embed_text, read_text_embeddings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.clip import load_clip

VOCABULARY = (
    Category(7, "bow_(weapon)", definition="it shoots arrows"),
    Category(2, "kite"),
    Category(4, "teapot", definition="a pot for tea"),
)
TEMPLATES = ("a photo of a {name}", "a drawing of a {name}[, {definition}]")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_clip(tmp_path_factory.mktemp("clip") / "model"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: str) -> TextEmbeddings:
    return embed_text(tmp_path_factory.mktemp("text") / "t.safetensors", VOCABULARY, clip, TEMPLATES, "cpu")


def classes(*names: str, first_id: int = 1) -> ClassList:
    return ClassList(tuple(DetectorClass(k, name) for k, name in enumerate(names, first_id)), "train.json")


def test_embeddings_are_the_mean_over_the_templates(made: TextEmbeddings, clip: str) -> None:
    assert (made.vectors.shape, made.vectors.dtype) == ((3, 16), np.float32)
    texts = load_clip(clip, "cpu").encode_texts(["a photo of a bow", "a drawing of a bow, it shoots arrows"])
    mean = texts.mean(axis=0)
    assert np.allclose(made.vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)


def test_a_file_is_read_back_unchanged(made: TextEmbeddings) -> None:
    read = read_text_embeddings(made.source)
    assert np.array_equal(read.vectors, made.vectors)
    assert read.identity == made.identity
    assert read.identity.categories == ("bow_(weapon)", "kite", "teapot")


def test_rows_follow_the_labels_of_a_data_set(made: TextEmbeddings) -> None:
    rows = made.by_label(classes("teapot", "bow_(weapon)"))
    assert rows.dtype == torch.float32
    assert np.array_equal(rows.numpy(), made.vectors[[2, 0]])


def test_categories_without_an_embedding_are_named(made: TextEmbeddings) -> None:
    with pytest.raises(
        MosaicFusionError, match=r'no text embedding of 2 of the 3 categories of train\.json \("drum", "lamp"\)'
    ):
        made.by_label(classes("drum", "kite", "lamp"))


def test_the_same_again_computes_nothing(made: TextEmbeddings, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_clip.create_model_and_transforms", None)
    again = embed_text(made.source, VOCABULARY, clip, TEMPLATES, "cpu")
    assert np.array_equal(again.vectors, made.vectors)


def test_a_file_of_something_else_is_not_overwritten(made: TextEmbeddings, clip: str, tmp_path: Path) -> None:
    before = made.source.read_bytes()
    other_clip = str(save_clip(tmp_path / "clip", side_px=64))
    reworded = (replace(VOCABULARY[0], definition="it ties hair"), *VOCABULARY[1:])
    for vocabulary, model, templates, message in (
        (VOCABULARY[:2], clip, TEMPLATES, "categories"),
        (VOCABULARY, clip, TEMPLATES[:1], "templates"),
        (reworded, clip, TEMPLATES, "definitions"),
        (VOCABULARY, other_clip, TEMPLATES, "CLIP model"),
    ):
        with pytest.raises(MosaicFusionError, match=f"holds the embeddings of other {message}"):
            embed_text(made.source, vocabulary, model, templates, "cpu")
    text = tmp_path / "notes.txt"
    text.write_text("notes")
    with pytest.raises(MosaicFusionError, match="holds no text embeddings"):
        embed_text(text, VOCABULARY, clip, TEMPLATES, "cpu")
    assert made.source.read_bytes() == before
    assert text.read_text() == "notes"


def test_vectors_of_another_model_are_refused(made: TextEmbeddings, clip: str, tmp_path: Path) -> None:
    made.require_clip(clip)
    copy = save_clip(tmp_path / "copy")
    made.require_clip(str(copy))  # the same model at another place
    other = save_clip(tmp_path / "other", side_px=64)
    with pytest.raises(MosaicFusionError, match=r"was made by the CLIP model .*the detector's is .*other"):
        made.require_clip(str(other))


def test_many_categories_are_embedded_in_parts_with_progress(clip: str, tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []
    vocabulary = from_names([f"kite {k}" for k in range(70)]).categories
    made = embed_text(
        tmp_path / "t", vocabulary, clip, TEMPLATES, "cpu", on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(64, 70), (70, 70)]
    whole = load_clip(clip, "cpu").encode_texts([f"a photo of a kite {k}" for k in range(70)])
    assert made.vectors.shape == whole.shape


@pytest.mark.parametrize("header", [None, {"identity": "{}"}, {"identity": '{"categories": 5}'}, {"identity": "["}])
def test_safetensors_of_another_kind_are_refused(tmp_path: Path, header: dict[str, str] | None) -> None:
    save_file({"text_embeddings": np.zeros((2, 4), np.float32)}, tmp_path / "t", metadata=header)
    with pytest.raises(MosaicFusionError, match="holds no text embeddings"):
        read_text_embeddings(tmp_path / "t")


def test_damaged_files_are_refused(made: TextEmbeddings, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(made.source.read_bytes()[:-10])
    for path in (cut, tmp_path / "none", tmp_path):
        with pytest.raises(MosaicFusionError, match="holds no text embeddings"):
            read_text_embeddings(path)
    vectors = made.vectors.copy()
    vectors[0, 0] = np.nan
    from safetensors import safe_open

    with safe_open(made.source, framework="numpy") as file:
        header = file.metadata()
    for damaged in (vectors, made.vectors[:2], made.vectors[0]):
        save_file({"text_embeddings": damaged}, cut, metadata=header)
        with pytest.raises(MosaicFusionError, match="are damaged"):
            read_text_embeddings(cut)


def test_a_template_needs_a_place_for_the_name(clip: str, tmp_path: Path) -> None:
    with pytest.raises(MosaicFusionError, match="name"):
        embed_text(tmp_path / "t", VOCABULARY, clip, ("a photo",), "cpu")
    assert not (tmp_path / "t").exists()
