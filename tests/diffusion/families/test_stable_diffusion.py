"""Offloading of parts, and decoding in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, tiny_config

from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import SampledCanvas, sample_canvases
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan


def sample(model: DiffusionModel) -> SampledCanvas:
    config = tiny_config("1x2")
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    return sample_canvases(model, [plan.spec(0), plan.spec(1)], config)[1]


class Moves:
    """Records the parts on the device. Parts that leave go to ``cpu``; the device has another name, ``cpu:0``."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch, broken: str = "") -> None:
        self.on_device: set[str] = set()
        self.arrived: list[str] = []
        self.max_together = 0
        for name in ("text_encoder", "text_encoder_2", "unet", "vae"):
            part = getattr(model.pipeline, name, None)
            if part is not None:
                monkeypatch.setattr(part, "to", lambda target, name=name: self.move(name, target, name == broken))

    def move(self, name: str, target: torch.device | str, fails: bool) -> None:
        if target == "cpu":
            self.on_device -= {name}
        elif fails:
            raise torch.OutOfMemoryError
        else:
            self.on_device |= {name}
            self.arrived.append(name)
            self.max_together = max(self.max_together, len(self.on_device))


class TestOffload:
    @pytest.mark.parametrize("family", ["tiny_sd", "tiny_sdxl"])
    def test_offloading_gives_the_same_images(self, family: str, request: pytest.FixtureRequest) -> None:
        folder = request.getfixturevalue(family)
        ordinary, offloaded = (
            sample(load_model(folder, DeviceOptions("cpu", offload=offload), "float32")) for offload in (False, True)
        )
        assert ordinary.image is not None and offloaded.image is not None
        np.testing.assert_array_equal(ordinary.image, offloaded.image)
        np.testing.assert_array_equal(ordinary.sums[1][4], offloaded.sums[1][4])

    @pytest.mark.parametrize(
        ("family", "encoders"), [("tiny_sd", ["text_encoder"]), ("tiny_sdxl", ["text_encoder", "text_encoder_2"])]
    )
    def test_parts_move_once_per_stage_and_make_room_first(
        self, family: str, encoders: list[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = request.getfixturevalue(family)
        model = load_model(folder, DeviceOptions("cpu:0", offload=True), "float32")
        moves = Moves(model, monkeypatch)
        for _ in range(2):
            sample(model)
        assert moves.arrived == [*encoders, "unet", "vae"] * 2
        assert moves.max_together == len(encoders)

    def test_a_part_that_did_not_fit_is_moved_again(self, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model = load_model(tiny_sd, DeviceOptions("cpu:0", offload=True), "float32")
        moves = Moves(model, monkeypatch, broken="unet")
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError):
                sample(model)
        assert moves.arrived == ["text_encoder", "text_encoder"]

    def test_without_offloading_nothing_moves(self, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model = load_model(tiny_sd, DeviceOptions("cpu:0"), "float32")
        moves = Moves(model, monkeypatch)
        sample(model)
        assert moves.arrived == []


class TestTiling:
    def test_no_tile_is_larger_than_the_image_size_of_the_model(
        self, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model: Any = load_model(tiny_sd, DeviceOptions("cpu", vae_tiling=True), "float32")
        tiles: list[tuple[int, int]] = []
        model.vae.decoder.register_forward_pre_hook(lambda _, inputs: tiles.append(tuple(inputs[0].shape[2:])))
        image = sample(model).image  # 32 x 96 px, by a model for 32 px: 16 latent cells
        assert image is not None and image.shape == (32, 96, 3)
        assert len(tiles) > 1
        assert max(side for tile in tiles for side in tile) == 16

    def test_the_miniature_decodes_the_same_in_tiles(self) -> None:
        latents = torch.randn(1, 8, 24, 80, generator=torch.Generator().manual_seed(0))
        whole, tiled = (
            load_model(find_model("mini"), DeviceOptions("cpu", vae_tiling=vae_tiling), "float32").decode(latents)
            for vae_tiling in (False, True)
        )
        assert whole is not None and tiled is not None
        assert whole.shape == tiled.shape == (192, 640, 3)
        difference = np.abs(whole.astype(int) - tiled.astype(int))
        assert 0 < difference.max() <= 8  # on random latents; benchmarks/settings.py measures sampled ones
        assert difference.mean() < 0.1
