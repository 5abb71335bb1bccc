"""Training of the CLIP: reproducible batches, exact resuming, a folder that open_clip reads."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer

from miniature import clip, loop
from miniature.clip_training import TrainingTask, train
from miniature.pictures import Picture, picture_sizes
from mosaicfusion.models.hub import BUNDLED_FOLDER

NAMES = ["banana", "teapot"]
TOKENIZER = BUNDLED_FOLDER / "weights" / "tokenizer"


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A yellow square and a blue one."""
    colours = ((230, 200, 20), (20, 50, 230))
    return [picture_sizes(np.full((32, 32, 4), (*colour, 255), np.float32)) for colour in colours]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "BATCH_SIZE", 4)
    monkeypatch.setitem(clip.MODEL_CFG, "embed_dim", 16)
    monkeypatch.setitem(clip.MODEL_CFG, "vision_cfg", {**clip.MODEL_CFG["vision_cfg"], "width": 4, "head_width": 32})
    monkeypatch.setitem(clip.MODEL_CFG, "text_cfg", {**clip.MODEL_CFG["text_cfg"], "width": 16, "layers": 1})


def new_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return open_clip.CLIP(**clip.MODEL_CFG)


def tokenizer() -> HFTokenizer:
    return HFTokenizer(str(TOKENIZER), context_length=32)


def task(pictures: list[Picture]) -> TrainingTask:
    return clip.make_task(pictures, NAMES, tokenizer())


def test_a_batch_is_a_function_of_its_step(pictures: list[Picture]) -> None:
    first, again, other = (clip.make_batch(step, pictures, NAMES) for step in (7, 7, 8))
    assert first[0].shape == (clip.BATCH_SIZE, 128, 128, 3) and first[0].dtype == np.uint8
    assert np.array_equal(first[0], again[0]) and first[2] == again[2]
    assert not np.array_equal(first[0], other[0])
    assert all(NAMES[number] in text for number, text in zip(first[1], first[2], strict=True))


def test_equal_captions_match_each_other() -> None:
    vectors = torch.eye(2)[[0, 0, 1]]
    loss = clip.contrastive_loss(vectors, vectors, torch.tensor(50.0), ["a cat", "a cat", "a dog"])
    assert loss.item() == pytest.approx(2 / 3 * np.log(2), abs=1e-3)  # two of three have two matches
    unlike = clip.contrastive_loss(vectors[[2, 0, 1]], vectors, torch.tensor(50.0), ["a cat", "a cat", "a dog"])
    assert unlike > 10


def test_the_bundled_tokenizer_ends_texts_as_the_model_expects() -> None:
    assert tokenizer().tokenizer.eos_token_id == clip.MODEL_CFG["text_cfg"]["eos_id"]
    assert len(tokenizer().tokenizer) == clip.MODEL_CFG["text_cfg"]["vocab_size"]


@pytest.mark.usefixtures("small")
def test_a_resumed_training_ends_in_the_same_weights(tmp_path: Path, pictures: list[Picture]) -> None:
    straight, stopped, resumed = new_model(), new_model(), new_model()
    train(straight, task(pictures), tmp_path / "straight", steps=4)
    stop_requested = iter([False, True]).__next__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "catch_sigterm", lambda: nullcontext(stop_requested))
        assert not train(stopped, task(pictures), tmp_path / "halved", steps=4)
    assert train(resumed, task(pictures), tmp_path / "halved", steps=4)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert not torch.equal(stopped.visual.conv1.weight, straight.visual.conv1.weight)


@pytest.mark.usefixtures("small")
def test_a_finished_training_can_be_continued_and_an_unfinished_one_keeps_its_length(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    model = new_model()
    train(model, task(pictures), tmp_path, steps=2)
    before = model.visual.conv1.weight.clone()
    with pytest.raises(SystemExit, match="belongs to a run of 2 steps"):
        train(new_model(), task(pictures), tmp_path, steps=1)
    train(model, task(pictures), tmp_path, steps=3)
    assert not torch.equal(before, model.visual.conv1.weight)
    assert torch.load(tmp_path / "clip.pt", weights_only=True)["step"] == 3


@pytest.mark.usefixtures("small")
def test_open_clip_reads_the_exported_folder(tmp_path: Path) -> None:
    model = new_model().eval()
    clip.export(model, TOKENIZER, tmp_path / "clip")
    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'clip'}")
    texts = clip.bare_prompts(NAMES)
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'clip'}")(texts)
    assert torch.equal(tokens, tokenizer()(texts))
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True)
        assert torch.allclose(loaded.eval().encode_text(tokens, normalize=True), expected, atol=2e-2)
    assert list(preprocess.transforms[-1].mean) == clip.PREPROCESS_CFG["mean"]
    with pytest.raises(FileExistsError):
        (tmp_path / "mine").mkdir()
        clip.export(model, TOKENIZER, tmp_path / "mine")
