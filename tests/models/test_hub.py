"""Messages on model folders that are incomplete, unsafe or missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mosaicfusion.diffusion.registry import family_of
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import BUNDLED_FOLDER, digest, find_model
from mosaicfusion.models.pipeline_folder import check_model_folder, pipeline_class


@pytest.fixture
def folder(tmp_path: Path, tiny_sd: Path) -> Path:
    return Path(shutil.copytree(tiny_sd, tmp_path / "model"))


def refusal(model: Path | str) -> str:
    with pytest.raises(MosaicFusionError) as caught:
        find_model(str(model))
    return str(caught.value)


def to_pickle(part: Path) -> None:
    for path in part.glob("*.safetensors"):
        path.rename(part / "pytorch_model.bin")


def edit_index(folder: Path, **changes: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **changes}))


def test_complete_folders_are_accepted(folder: Path, tiny_sdxl: Path) -> None:
    assert find_model(str(folder)) == folder
    assert find_model("mini") == BUNDLED_FOLDER / "weights"
    check_model_folder(tiny_sdxl)
    assert pipeline_class(tiny_sdxl) == "StableDiffusionXLPipeline"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), "has no model_index.json; a whole model in diffusers format"),
        (lambda f: (f / "model_index.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "model_index.json").write_text("[]"), "is not a JSON object"),
        (lambda f: shutil.rmtree(f / "vae"), "has no vae/; download or copy the whole model"),
        (lambda f: shutil.rmtree(f / "scheduler"), "has no scheduler/"),
        (lambda f: edit_index(f, text_encoder_2=["transformers", "CLIPTextModel"]), "has no text_encoder_2/"),
        (lambda f: (f / "unet" / "config.json").unlink(), "unet has no config.json"),
        (lambda f: (f / "unet" / "config.json").write_text("{}"), "has parts of different models"),
        (lambda f: (f / "text_encoder" / "config.json").write_text('{"hidden_size": 7}'), "text_encoder give 7"),
        (lambda f: (f / "unet" / "config.json").write_bytes(b"\xff"), "config.json is not JSON"),
        (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "tokenizer has neither tokenizer.json nor"),
        (lambda f: to_pickle(f / "text_encoder"), "holds only pytorch_model.bin, a pickle, which can run code"),
        (lambda f: next((f / "vae").glob("*.safetensors")).unlink(), "vae holds no weights; safetensors are needed"),
    ],
)
def test_missing_and_unsafe_parts_are_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    assert message in refusal(folder)


def test_an_unsupported_family_is_refused(folder: Path) -> None:
    edit_index(folder, _class_name="AudioPipeline")
    with pytest.raises(MosaicFusionError, match="holds a AudioPipeline; supported: StableDiffusionPipeline"):
        family_of(folder)


@pytest.mark.parametrize("origin", [[None, None], []])
def test_optional_parts_may_be_missing(folder: Path, origin: list[None]) -> None:
    edit_index(folder, safety_checker=["diffusers", "Checker"], text_encoder_2=origin)
    assert find_model(str(folder)) == folder


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("unet/*.safetensors", lambda path: path.write_bytes(path.read_bytes()[:1000])),
        ("vae/*.safetensors", lambda path: path.write_bytes(b"not weights at all")),
        ("scheduler/scheduler_config.json", lambda path: path.unlink()),
        ("tokenizer/tokenizer.json", lambda path: path.write_text("{}")),
    ],
)
def test_damaged_files_are_refused_when_loaded(folder: Path, name: str, damage: Callable[[Path], object]) -> None:
    from mosaicfusion.diffusion.registry import load_model

    damage(next(folder.glob(name)))
    with pytest.raises(MosaicFusionError, match=r"cannot load the model in .*model: \S"):
        load_model(find_model(str(folder)), "cpu", "float32")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v1-5.safetensors").write_bytes(b"")
    assert "is a file; a model is a folder in diffusers format" in refusal(tmp_path / "v1-5.safetensors")
    assert "there is no model folder" in refusal(tmp_path / "none")
    assert "there is no model folder minni" in refusal("minni")
    assert "there is no model folder" in refusal("x" * 5000)


def test_a_hub_id_without_a_network_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refusal("nobody/no-such-model")
    assert "cannot get nobody/no-such-model from the model hub; check the name and the network" in message
    assert len(message) < 400


def test_digest_follows_the_files(folder: Path, tiny_sd: Path) -> None:
    assert digest(folder) == digest(tiny_sd)
    weights = next((folder / "unet").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert digest(folder) != digest(tiny_sd)
    (folder / "README.md").write_text("says nothing of the numbers")
    changed = digest(folder)
    edit_index(folder, _diffusers_version="0")
    assert digest(folder) != changed
