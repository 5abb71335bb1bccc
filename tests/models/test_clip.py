import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny_clip import save_clip

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.models.clip import find_clip, load_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "model")


def test_images_of_any_size_and_texts_become_vectors_of_length_one(folder: Path) -> None:
    clip = load_clip(str(folder), "cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in ((32, 32), (48, 20), (100, 130))]
    for vectors in (clip.encode_images(images), clip.encode_texts(["a banana", "a teapot", "x " * 500])):
        assert (vectors.shape, vectors.dtype) == ((3, 16), np.float32)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-4), "open_clip's first temperature"


def test_batches_change_nothing(folder: Path) -> None:
    clip = load_clip(str(folder), "cpu")
    texts = [f"a photo of a single {word}" for word in ("banana", "teapot", "cat")] * 30
    vectors = clip.encode_texts(texts)
    assert np.allclose(vectors[:3], clip.encode_texts(texts[:3]), atol=1e-5)
    assert np.allclose(vectors[:3], vectors[-3:], atol=1e-5)


def test_the_whole_image_is_encoded(folder: Path) -> None:
    """A wide image is squashed, not cropped: its end changes the vector."""
    clip = load_clip(str(folder), "cpu")
    plain = np.full((32, 128, 3), 90, np.uint8)
    marked = plain.copy()
    marked[:, :16] = 255
    one, same, other = clip.encode_images([plain, plain, marked])
    assert np.abs(one - same).max() < 1e-6 < 1e-4 < np.abs(one - other).max()


def test_pickles_and_incomplete_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "open_clip_model.safetensors").unlink()
    torch.save({}, pickled / "open_clip_pytorch_model.bin")
    with pytest.raises(MosaicFusionError, match=r"no open_clip_model\.safetensors; .*pickles can run code"):
        load_clip(str(pickled), "cpu")
    (pickled / "open_clip_config.json").unlink()
    with pytest.raises(MosaicFusionError, match="has no open_clip_config"):
        load_clip(str(pickled), "cpu")


@pytest.mark.parametrize("config", ["{", "[]", "{}", '{"model_cfg": {}}', '{"model_cfg": {"embed_dim": "x"}}'])
def test_damaged_configs_are_refused(folder: Path, tmp_path: Path, config: str) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "open_clip_config.json").write_text(config)
    with pytest.raises(MosaicFusionError, match="cannot load the CLIP model"):
        load_clip(str(damaged), "cpu")


def test_weights_of_another_shape_and_truncated_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 8
    (other / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(MosaicFusionError, match="cannot load the CLIP model"):
        load_clip(str(other), "cpu")
    weights = other / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(MosaicFusionError, match="cannot load the CLIP model"):
        load_clip(str(other), "cpu")


@pytest.mark.parametrize("name", ["nope", "nope:tag", "ViT-B-32:nope", "../..:x", "x" * 5000])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(MosaicFusionError, match="there is no CLIP model"):
        find_clip(name)


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("owner/name", "owner/name"),
        ("hub:owner/name", "owner/name"),
        ("ViT-B-32:laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ],
)
def test_only_safetensors_are_downloaded(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, hub_id: str) -> None:
    requested: list[tuple[str, list[str]]] = []

    def download(repo_id: str, allow_patterns: list[str]) -> str:
        requested.append((repo_id, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find_clip(name) == folder
    ((repo_id, patterns),) = requested
    assert repo_id == hub_id
    assert "open_clip_model.safetensors" in patterns
    assert not [pattern for pattern in patterns if pattern.endswith((".bin", ".pt", ".pth", "*"))]


def test_a_failed_download_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(MosaicFusionError, match="cannot get owner/name from the model hub"):
        find_clip("owner/name")


def test_the_bundled_model_recognises_drawings() -> None:
    """On the larger, unhidden drawings of a known style in MiniLVIS; chance is one in 158."""
    folder = Path(__file__).parents[2] / "datasets" / "minilvis"
    data = json.loads((folder / "val.json").read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in data["images"]}
    names = {category.id: category.display_name for category in vocabulary_for("mini")}
    clear = [a for a in data["annotations"] if a["style"] == "fluent-3d" and a["hidden"] < 0.05 and a["area"] > 4000]
    crops, ids = [], list(names)
    for annotation in clear:
        left, top, width, height = annotation["bbox"]
        with Image.open(folder / files[annotation["image_id"]]) as image:
            crops.append(np.asarray(image.crop((left - 8, top - 8, left + width + 8, top + height + 8)).convert("RGB")))
    model = load_clip("mini", "cpu")
    images, texts = (
        model.encode_images(crops),
        model.encode_texts([f"a photo of a single {name}" for name in names.values()]),
    )
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-3)
    named = [ids[k] for k in (images @ texts.T).argmax(axis=1)]
    right = np.mean([guess == annotation["category_id"] for guess, annotation in zip(named, clear, strict=True)])
    assert len(clear) > 20 and right > 0.3


def test_the_bundled_model_is_small() -> None:
    assert sum(path.stat().st_size for path in find_clip("mini").iterdir()) < 10_000_000
