from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention

from mosaicfusion.config import AttentionConfig
from mosaicfusion.diffusion.attention import AttentionRecorder, map_size, subject_attention
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.models.hub import find_model

TOKENS, WIDTH = 32, 32


def call_unet(model: DiffusionModel, batch: int = 2, hw: tuple[int, int] = (12, 20)) -> torch.Tensor:
    torch.manual_seed(1)
    text = torch.randn(batch, TOKENS, model.unet.config.cross_attention_dim)
    latents = torch.randn(batch, model.latent_channels, *hw)
    with torch.inference_mode():
        return model.unet(latents, torch.tensor(500), encoder_hidden_states=text).sample


def subject_row(*positions: int) -> torch.Tensor:
    row = torch.zeros(1, TOKENS)
    row[0, list(positions)] = 1 / len(positions)
    return row


def test_attention_of_a_hand_made_layer() -> None:
    """One head, d = 1, two cells, two tokens: softmax of (0, ln 3) is (1/4, 3/4)."""
    attn = Attention(query_dim=1, cross_attention_dim=1, heads=1, dim_head=1, bias=False)
    with torch.no_grad():
        attn.to_q.weight.fill_(1)
        attn.to_k.weight.fill_(1)
    hidden = torch.tensor([[[0.0], [1.0]]])
    text = torch.tensor([[[0.0], [3.0]]]).log1p()  # keys 0 and ln 4
    query, key = attn.to_q(hidden), attn.to_k(text)
    column = subject_attention(attn, query, key, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(column, torch.tensor([[0.5, 0.8]]))
    both = subject_attention(attn, query, key, torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(both, torch.tensor([[0.5, 0.5]]))  # over all tokens it sums to 1, so their mean is 1/2


def test_recording_changes_nothing_and_leaves_nothing(tiny_model: DiffusionModel) -> None:
    before = call_unet(tiny_model)
    processors = dict(tiny_model.unet.attn_processors)
    with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2, 4)), 2) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(5), slice(1, None))
        torch.testing.assert_close(call_unet(tiny_model), before)
    assert tiny_model.unet.attn_processors == processors
    torch.testing.assert_close(call_unet(tiny_model), before)


def test_processors_come_back_after_an_error(tiny_model: DiffusionModel) -> None:
    processors = dict(tiny_model.unet.attn_processors)
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        AttentionRecorder(tiny_model.unet, AttentionConfig(), 2),
    ):
        raise RuntimeError("in the middle")
    assert tiny_model.unet.attn_processors == processors


def test_only_the_conditional_half_is_read(tiny_model: DiffusionModel) -> None:
    sums = []
    for conditional in (slice(0, 1), slice(1, None)):
        with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2,)), 2) as recorder:
            recorder.start_step(0, 1)
            recorder.set_target(7, (12, 20), subject_row(3), conditional)
            call_unet(tiny_model)
        assert set(recorder.sums) == {7} and set(recorder.sums[7]) == {2}
        assert recorder.sums[7][2].shape == (1, 12, 20)
        sums.append(recorder.sums[7][2])
    assert not torch.allclose(*sums)


def test_sums_over_all_tokens_count_the_layers(tiny_model: DiffusionModel) -> None:
    """Probabilities of all tokens add up to 1 per layer: the layers of a resolution can be counted."""
    with AttentionRecorder(
        tiny_model.unet, AttentionConfig(strides_px=(2, 4), blocks=("down", "up", "mid")), 2
    ) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(tiny_model)
    # 1/2: one layer down, two up; 1/4: one down, two up and the middle.
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 3.0))
    torch.testing.assert_close(recorder.sums[0][4] * TOKENS, torch.full((1, 6, 10), 4.0))


def test_steps_and_blocks_outside_of_the_settings_are_not_read(tiny_model: DiffusionModel) -> None:
    with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2,), steps=(0.5, 1.0)), 2) as recorder:
        for step in range(4):
            recorder.start_step(step, 4)
            recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
            call_unet(tiny_model)
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 6.0))  # 2 of 4 steps, 3 layers
    with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2,), blocks=("up",)), 2) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(tiny_model)
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 2.0))


@pytest.mark.parametrize(("steps", "listened"), [((0.0, 1.0), 2), ((0.5, 1.0), 1), ((0.0, 0.5), 1)])
def test_half_sums_are_those_of_half_of_the_steps(
    tiny_model: DiffusionModel, steps: tuple[float, float], listened: int
) -> None:
    """Half of 4 steps is 2 steps; half of the 2 steps that are read is 1."""
    with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2,), steps=steps), 2) as recorder:
        for step in range(4):
            recorder.start_step(step, 4)
            recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
            call_unet(tiny_model)
    torch.testing.assert_close(recorder.half_sums[0][2] * TOKENS, torch.full((1, 12, 20), 3.0 * listened))  # 3 layers
    torch.testing.assert_close(recorder.sums[0][2], 2 * recorder.half_sums[0][2])


@pytest.mark.parametrize(("read", "total"), [((0.0, 1.0), 1), ((0.0, 0.25), 4)])
def test_one_step_has_no_half(tiny_model: DiffusionModel, read: tuple[float, float], total: int) -> None:
    with AttentionRecorder(tiny_model.unet, AttentionConfig(strides_px=(2,), steps=read), 2) as recorder:
        for step in range(total):
            recorder.start_step(step, total)
            recorder.set_target(0, (12, 20), subject_row(5), slice(0, 1))
            call_unet(tiny_model)
    assert recorder.sums and not recorder.half_sums


def test_blocks_where_both_attentions_read_the_text() -> None:
    """The bundled model's 1/8 blocks have only cross-attention, under both names."""
    model = load_model(find_model("mini"), "cpu", "float32")
    with AttentionRecorder(model.unet, AttentionConfig(strides_px=(8,)), 8) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (8, 12), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(model, hw=(8, 12))
    torch.testing.assert_close(recorder.sums[0][8] * TOKENS, torch.full((1, 8, 12), 6.0))  # (1 down + 2 up) x 2


@pytest.mark.parametrize(
    ("cells", "expected"), [(15 * 7, (0, (15, 7))), (8 * 4, (1, (8, 4))), (4 * 2, (2, (4, 2))), (2, (3, (2, 1)))]
)
def testmap_sizes_follow_rounded_up_halving(cells: int, expected: tuple[int, tuple[int, int]]) -> None:
    assert map_size((15, 7), cells) == expected
