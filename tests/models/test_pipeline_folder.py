"""Model folders that would fail late, or load something else, are refused with the reason before their weights are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.models.pipeline_folder import check_model_folder, find_variant


@pytest.fixture
def folder(tmp_path: Path, tiny_sd: Path) -> Path:
    return Path(shutil.copytree(tiny_sd, tmp_path / "model"))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def weights(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def to_variant(folder: Path, name: str) -> None:
    for path in weights(folder):
        path.rename(path.with_name(f"{path.name.removesuffix('.safetensors')}.{name}.safetensors"))


def test_weights_of_one_variant_are_found_and_loaded(folder: Path) -> None:
    to_variant(folder, "fp16")
    check_model_folder(folder)
    assert find_variant(folder) == find_variant(folder, "fp16") == "fp16"
    assert load_model(folder, "cpu", "float32").latent_factor > 0


def test_a_variant_that_is_missing_is_refused(folder: Path) -> None:
    with pytest.raises(
        MosaicFusionError, match="no complete weights of variant fp16; it has none: leave --variant out"
    ):
        check_model_folder(folder, "fp16")


def test_plain_weights_come_first(folder: Path) -> None:
    for path in weights(folder):
        shutil.copy(path, path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert find_variant(folder) is None
    assert find_variant(folder, "fp16") == "fp16"


def test_an_inpainting_model_is_refused(folder: Path) -> None:
    edit(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(MosaicFusionError, match=r"no text-to-image model: its U-Net reads 9 channels"):
        check_model_folder(folder)


def test_the_refiner_of_sdxl_is_refused(tmp_path: Path, tiny_sdxl: Path) -> None:
    model = Path(shutil.copytree(tiny_sdxl, tmp_path / "model"))
    unet = json.loads((model / "unet" / "config.json").read_text())
    pooled = unet["projection_class_embeddings_input_dim"] - 6 * unet["addition_time_embed_dim"]
    refiner = pooled + 5 * unet["addition_time_embed_dim"]
    edit(model / "unet" / "config.json", projection_class_embeddings_input_dim=refiner)
    with pytest.raises(MosaicFusionError, match=r"that of SDXL's refiner.*; give the base model"):
        check_model_folder(model)


def test_a_dangling_link_is_named(folder: Path) -> None:
    path = weights(folder)[0]
    path.unlink()
    path.symlink_to(folder / "nowhere")
    with pytest.raises(MosaicFusionError, match=f"{path.name} is a link to a file that does not exist"):
        check_model_folder(folder)


def test_a_schedule_down_to_a_signal_of_zero_gets_a_preset_that_follows_it(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", rescale_betas_zero_snr=True)
    assert make_config(None, {"model": str(folder)}).sampling.scheduler == "ddim"


def test_a_scheduler_that_would_ignore_the_schedule_is_refused(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", rescale_betas_zero_snr=True)
    with pytest.raises(
        MosaicFusionError, match=r"'lms' does not fit this model, because it ignores rescale_betas_zero_snr"
    ):
        load_model(folder, "cpu", "float32").scheduler("lms", 4)
