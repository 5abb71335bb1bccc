from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, tiny_config
from support.tiny_models import ChangedModel

from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.mosaic.plan import Plan

COMPILED = DeviceOptions("cpu", compile=True)


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    torch._dynamo.reset()


def test_without_a_compiler_the_error_names_the_fix(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._inductor.config as config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing that earlier processes compiled
    missing = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with (
        missing,
        pytest.raises(MosaicFusionError, match=r"a CPU needs a C\+\+ compiler .* or leave --compile out") as caught,
    ):
        load_model(tiny_sd, COMPILED, "float32")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["tiny_pixart", "tiny_sana", "tiny_sd3", "tiny_flux"])
def test_transformers_give_the_same_canvases(family: str, request: pytest.FixtureRequest) -> None:
    folder, config = request.getfixturevalue(family), tiny_config(scheduler="model")
    attention = config.attention.model_copy(update={"strides_px": (4,), "blocks": ("transformer_blocks",)})
    config = config.model_copy(update={"attention": attention})
    images, maps = [], []
    for options in (DeviceOptions("cpu"), COMPILED):
        model = load_model(folder, options, "float32")
        sampled = sample_canvases(model, [Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0)], config)[0]
        assert sampled.image is not None
        images.append(sampled.image.astype(int))
        maps.append(sampled.sums[0][4])
    assert np.abs(images[0] - images[1]).max() <= 1
    np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_same_canvases_from_one_graph_for_all_regions(tiny_sd: Path, tiny_model: DiffusionModel) -> None:
    loaded = load_model(tiny_sd, COMPILED, "float32")

    def decode_freely(latents: torch.Tensor) -> Any:
        """On a CPU torch picks convolutions by the image's size, so the decoder may need a graph for each canvas size."""
        with torch._dynamo.config.patch(error_on_recompile=False):
            return loaded.decode(latents)

    compiled: Any = ChangedModel(loaded, decode=decode_freely)
    for grid, guidance, count in (("1x2", 4.0, 8), ("2x1", 1.0, 17), ("2x2", 4.0, 9)):
        config = tiny_config(grid, guidance=guidance)
        plan = Plan(config, CATEGORIES, CATEGORIES, compiled.latent_factor)
        specs = [plan.spec(0)] * count
        expected = sample_canvases(tiny_model, specs, config)[-1]
        with torch._dynamo.config.patch(error_on_recompile=True):
            sampled = sample_canvases(compiled, specs, config)[-1]
        assert sampled.image is not None and expected.image is not None
        assert np.abs(sampled.image.astype(int) - expected.image.astype(int)).max() <= 1
        for maps, others in zip(sampled.sums, expected.sums, strict=True):
            assert maps.keys() == others.keys() == {2, 4}
            for stride in maps:
                np.testing.assert_allclose(maps[stride], others[stride], rtol=1e-3, atol=1e-4)
