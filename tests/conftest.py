from __future__ import annotations

import os

# Small tensors: threads cost more than they give, above all with several test processes on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_models import save_stable_diffusion

    return save_stable_diffusion(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_models import save_stable_diffusion

    return save_stable_diffusion(tmp_path_factory.mktemp("tiny") / "sd2", prediction_type="v_prediction")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_models import save_sdxl

    return save_sdxl(tmp_path_factory.mktemp("tiny") / "sdxl")


@pytest.fixture(scope="session")
def tiny_pixart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_pixart

    return save_pixart(tmp_path_factory.mktemp("tiny") / "pixart")


@pytest.fixture(scope="session")
def tiny_pixart_sigma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_pixart

    return save_pixart(tmp_path_factory.mktemp("tiny") / "pixart_sigma", sigma=True)


@pytest.fixture(scope="session")
def tiny_sana(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_sana

    return save_sana(tmp_path_factory.mktemp("tiny") / "sana")


@pytest.fixture(scope="session")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_sd3

    return save_sd3(tmp_path_factory.mktemp("tiny") / "sd3")


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_flux

    return save_flux(tmp_path_factory.mktemp("tiny") / "flux")


@pytest.fixture(scope="session")
def tiny_flux_schnell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_transformers import save_flux

    return save_flux(tmp_path_factory.mktemp("tiny") / "flux_schnell", guidance_embeds=False)


@pytest.fixture(scope="session")
def tiny_model(tiny_sd: Path) -> DiffusionModel:
    from mosaicfusion.diffusion.registry import load_model

    return load_model(tiny_sd, "cpu", "float32")
