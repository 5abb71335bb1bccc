"""Shards are pure functions of their number, sheets of their seed."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from miniature.latents import make_shard
from miniature.pictures import picture_sizes
from miniature.recognise import Judge, top1
from miniature.sheet import COLUMNS, choose, contact_sheet, decode


@pytest.fixture(scope="module")
def autoencoder() -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(4,) * 4,
        decoder_block_out_channels=(4,) * 4,
        latent_channels=8,
        num_encoder_blocks=(0, 0, 0, 1),
        num_decoder_blocks=(1, 0, 0, 0),
    ).eval()


def test_a_shard_is_a_function_of_its_number(autoencoder: AutoencoderTiny) -> None:
    pictures = [picture_sizes(np.full((32, 32, 4), 255, np.float32))] * 3
    first, again, other = (make_shard(index, 10, pictures, autoencoder) for index in (5, 5, 6))
    assert first["latents"].shape == (10, 8, 16, 16) and first["latents"].dtype == np.float16
    assert set(first) == {"latents", "categories", "backgrounds"}
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["backgrounds"], other["backgrounds"])


def test_decoded_latents_make_a_sheet(autoencoder: AutoencoderTiny) -> None:
    class Pipeline:
        vae = autoencoder

    images = decode(Pipeline(), torch.zeros(COLUMNS + 1, 8, 16, 16))
    assert {image.size for image in images} == {(128, 128)}
    assert contact_sheet(images, ["x"] * len(images)).size == (COLUMNS * 128, 2 * (128 + 14))


def test_choices_are_seeded_and_sorted() -> None:
    names = [f"name {i:02}" for i in range(30)]
    assert choose(names, 8, seed=1) == choose(names, 8, seed=1) != choose(names, 8, seed=2)
    chosen = [name for name, _ in choose(names, 8, seed=1)]
    assert chosen == sorted(set(chosen))


def test_the_judge_gives_logits_for_each_image() -> None:
    judge = Judge(5).eval()
    latents = torch.randn(6, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        named = judge(latents).argmax(1)
    assert top1(judge, latents, named) == 1
    assert top1(judge, latents, (named + 1) % 5) == 0
