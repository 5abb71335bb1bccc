"""Training of the autoencoder: exact resuming, latents of unit variance, a folder that diffusers reads."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from miniature import autoencoder, loop
from miniature.pictures import Picture, picture_sizes


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [
        picture_sizes(np.full((32, 32, 4), (*colour, 255), np.float32)) for colour in ((230, 200, 20), (20, 50, 230))
    ]


def new_model() -> AutoencoderTiny:
    torch.manual_seed(0)
    return autoencoder.build_autoencoder(width=8)


def test_a_resumed_training_ends_in_the_same_weights(
    tmp_path: Path, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "BATCH_SIZE", 2)
    straight, stopped, resumed = new_model(), new_model(), new_model()
    autoencoder.train(straight, pictures, tmp_path / "straight", steps=4)
    stop_requested = iter([False, True]).__next__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "catch_sigterm", lambda: nullcontext(stop_requested))
        assert not autoencoder.train(stopped, pictures, tmp_path / "halved", steps=4)
    with pytest.raises(SystemExit, match="belongs to a run of 4 steps"):
        autoencoder.train(new_model(), pictures, tmp_path / "halved", steps=5)
    assert autoencoder.train(resumed, pictures, tmp_path / "halved", steps=4)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_it_learns_and_its_scaled_latents_have_unit_variance(tmp_path: Path, pictures: list[Picture]) -> None:
    model = new_model()
    pixels = autoencoder.random_crops(np.random.default_rng(1), pictures, 8)
    with torch.no_grad():
        before = (model(pixels).sample - pixels).abs().mean()
    autoencoder.train(model, pictures, tmp_path, steps=80)
    autoencoder.scale_latents(model, pictures)
    model.save_pretrained(tmp_path / "vae")
    loaded = AutoencoderTiny.from_pretrained(tmp_path / "vae")
    with torch.no_grad():
        after = (loaded(pixels).sample - pixels).abs().mean()
        latents = loaded.encode(autoencoder.random_crops(np.random.default_rng(2), pictures, 64)).latents
    assert after < 0.7 * before
    assert (latents * loaded.config.scaling_factor).std() == pytest.approx(1, abs=0.15)
