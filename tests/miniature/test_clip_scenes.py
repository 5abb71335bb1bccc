"""The second stage of the CLIP: crops of scenes, and a frozen text encoder."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer

from miniature import clip, clip_scenes
from miniature.clip_training import train
from miniature.pictures import Picture, picture_sizes
from miniature.scenes.drawings import Drawings
from mosaicfusion.models.hub import BUNDLED_FOLDER

NAMES = ["banana", "teapot"]
COLOURS = ((230, 200, 20), (20, 50, 230))


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [picture_sizes(np.full((32, 32, 4), (*colour, 255), np.float32)) for colour in COLOURS]


@pytest.fixture(scope="module")
def drawings() -> list[Drawings]:
    """Two styles of a yellow square, one of a blue one."""
    yellow, blue = (np.full((64, 64, 4), (*colour, 255), np.uint8) for colour in COLOURS)
    return [{"flat": yellow, "round": yellow}, {"flat": blue}]


def test_a_crop_has_the_requested_margin() -> None:
    image, mask = np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), bool)
    image[100:140, 60:80], mask[100:140, 60:80] = 255, True
    shown = clip_scenes.crop(np.random.default_rng(0), image, mask, margin=2.0)
    assert shown.shape == (128, 128, 3)
    assert np.count_nonzero(shown[..., 0] > 127) == pytest.approx(
        64 * 32, rel=0.05
    )  # 40 x 20 pixels, 128 to a side of 80


def test_a_crop_at_the_edge_of_a_scene_has_its_full_side() -> None:
    image, mask = np.full((256, 256, 3), 9, np.uint8), np.zeros((256, 256), bool)
    mask[:20, 250:] = True
    assert (clip_scenes.crop(np.random.default_rng(0), image, mask, margin=1.5) == 9).all()


def test_a_batch_is_a_function_of_its_step(pictures: list[Picture], drawings: list[Drawings]) -> None:
    first, again, other = (clip_scenes.make_batch(step, pictures, drawings) for step in (7, 7, 8))
    assert first[0].shape == (clip.BATCH_SIZE, 128, 128, 3) and first[0].dtype == np.uint8
    assert first[1].shape == (clip.BATCH_SIZE,) and set(first[1]) == {0, 1}
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_only_the_image_encoder_is_trained(
    tmp_path: Path, pictures: list[Picture], drawings: list[Drawings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clip.MODEL_CFG, "vision_cfg", {**clip.MODEL_CFG["vision_cfg"], "width": 4, "head_width": 32})
    torch.manual_seed(0)
    model = open_clip.CLIP(**clip.MODEL_CFG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clip_scenes.freeze_text(model)
    tokenizer = HFTokenizer(str(BUNDLED_FOLDER / "weights" / "tokenizer"), context_length=32)
    train(model, clip_scenes.make_task(model, pictures, drawings, NAMES, tokenizer), tmp_path, steps=2)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "visual.conv1.weight" in changed and all(name.startswith("visual.") for name in changed)
    assert (tmp_path / "clip-scenes.pt").exists()
