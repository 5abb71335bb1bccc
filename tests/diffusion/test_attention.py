from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch.profiler import ProfilerActivity, profile

from mosaicfusion.config import AttentionConfig
from mosaicfusion.diffusion.attention import AttentionCall, AttentionRecorder, Tap, is_of_block, map_size
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.models.hub import find_model

TOKENS, WIDTH = 32, 32


def call_unet(model: DiffusionModel, batch: int = 2, hw: tuple[int, int] = (12, 20)) -> torch.Tensor:
    torch.manual_seed(1)
    text = torch.randn(batch, TOKENS, model.denoiser.config.cross_attention_dim)
    latents = torch.randn(batch, model.latent_channels, *hw)
    with torch.inference_mode():
        return model.denoiser(latents, torch.tensor(500), encoder_hidden_states=text).sample


def subject_row(*positions: int) -> torch.Tensor:
    row = torch.zeros(1, TOKENS)
    row[0, list(positions)] = 1 / len(positions)
    return row


def test_attention_of_a_hand_made_layer() -> None:
    """One head, d = 1, two queries, two keys: softmax of (0, ln 4) is (1/5, 4/5)."""
    query = torch.tensor([[[[0.0], [1.0]]]])
    key = torch.tensor([[[[0.0], [3.0]]]]).log1p()
    call = AttentionCall(query, key)
    torch.testing.assert_close(call.to(torch.tensor([[0.0, 1.0]])), torch.tensor([[0.5, 0.8]]))
    both = call.to(torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(both, torch.tensor([[0.5, 0.5]]))  # over all tokens it sums to 1, so their mean is 1/2


@pytest.mark.parametrize("masked", [False, True])
def test_the_map_is_the_softmax_over_all_keys(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 4, length, 8, generator=generator) for length in (30, 50))
    mask = torch.where(torch.rand(2, 1, 1, 50, generator=generator) < 0.3, -torch.inf, 0.0) if masked else None
    subject = torch.zeros(2, 50)
    subject[0, 3], subject[1, 40:42] = 1, 0.5
    scores = query @ key.transpose(-1, -2) / 8**0.5 + (0 if mask is None else mask)
    expected = (scores.softmax(-1) @ subject[:, None, :, None])[..., 0].mean(1)
    call = AttentionCall(query, key, mask)
    torch.testing.assert_close(call.to(subject), expected)
    part = call.part(slice(1, None), slice(10, 20))
    torch.testing.assert_close(part.to(subject[1:]), expected[1:, 10:20])


def test_no_matrix_of_queries_and_keys_is_made() -> None:
    cells, keys = 1024, 1100
    call = AttentionCall(torch.randn(1, 4, cells, 32), torch.randn(1, 4, keys, 32))
    subject = torch.nn.functional.one_hot(torch.tensor([keys - 2]), keys).float()
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call.to(subject)
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profiled.events())
    assert 0 < allocated < 2 * cells * keys  # bytes, all together: half of the matrix of a single head


def test_a_tap_sees_fused_projections_and_changes_nothing() -> None:
    attn = Attention(query_dim=8, cross_attention_dim=8, heads=2, dim_head=4)
    hidden, text = torch.randn(1, 6, 8), torch.randn(1, 3, 8)
    seen: list[AttentionCall] = []
    with torch.no_grad():
        expected = attn(hidden, text)
        with Tap(seen.append):
            assert torch.equal(attn(hidden, text), expected)
            attn.fuse_projections()
            attn(hidden, text)
    assert [call.query.shape for call in seen] == [(1, 2, 6, 4)] * 2
    torch.testing.assert_close(seen[0].key, seen[1].key)


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        ("down_blocks.0.attentions.0", "down", True),
        ("transformer_blocks.1.attn", "transformer_blocks.1", True),
        ("transformer_blocks.10.attn", "transformer_blocks.1", False),
        ("transformer_blocks.10.attn", "up", False),
    ],
)
def test_a_block_is_the_beginning_of_its_layers_names(name: str, block: str, expected: bool) -> None:
    assert is_of_block(name, block) == expected


def test_recording_changes_nothing_and_leaves_nothing(tiny_model: DiffusionModel) -> None:
    before = call_unet(tiny_model)
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2, 4))) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(5), slice(1, None))
        assert hooked_layers(tiny_model)
        torch.testing.assert_close(call_unet(tiny_model), before)
    assert not hooked_layers(tiny_model)
    torch.testing.assert_close(call_unet(tiny_model), before)


def test_nothing_is_left_after_an_error(tiny_model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: AttentionCall, subject: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(AttentionCall, "to", fail)
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2, 4))) as recorder,
    ):
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(5), slice(1, None))
        call_unet(tiny_model)
    assert not hooked_layers(tiny_model)
    call_unet(tiny_model)  # no tap is open: it would fail again


def hooked_layers(model: DiffusionModel) -> list[str]:
    return [name for name, layer in model.denoiser.named_modules() if layer._forward_hooks or layer._forward_pre_hooks]


def test_only_the_conditional_half_is_read(tiny_model: DiffusionModel) -> None:
    sums = []
    for conditional in (slice(0, 1), slice(1, None)):
        with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2,))) as recorder:
            recorder.start_step(0, 1)
            recorder.set_target(7, (12, 20), subject_row(3), conditional)
            call_unet(tiny_model)
        assert set(recorder.sums) == {7} and set(recorder.sums[7]) == {2}
        assert recorder.sums[7][2].shape == (1, 12, 20)
        sums.append(recorder.sums[7][2])
    assert not torch.allclose(*sums)


def test_sums_over_all_tokens_count_the_layers(tiny_model: DiffusionModel) -> None:
    """Probabilities of all tokens add up to 1 per layer: the layers of a resolution can be counted."""
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2, 4), blocks=("down", "up", "mid"))) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(tiny_model)
    # 1/2: one layer down, two up; 1/4: one down, two up and the middle.
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 3.0))
    torch.testing.assert_close(recorder.sums[0][4] * TOKENS, torch.full((1, 6, 10), 4.0))


def test_steps_and_blocks_outside_of_the_settings_are_not_read(tiny_model: DiffusionModel) -> None:
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2,), steps=(0.5, 1.0))) as recorder:
        for step in range(4):
            recorder.start_step(step, 4)
            recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
            call_unet(tiny_model)
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 6.0))  # 2 of 4 steps, 3 layers
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2,), blocks=("up",))) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(tiny_model)
    torch.testing.assert_close(recorder.sums[0][2] * TOKENS, torch.full((1, 12, 20), 2.0))


@pytest.mark.parametrize(("steps", "listened"), [((0.0, 1.0), 2), ((0.5, 1.0), 1), ((0.0, 0.5), 1)])
def test_half_sums_are_those_of_half_of_the_steps(
    tiny_model: DiffusionModel, steps: tuple[float, float], listened: int
) -> None:
    """Half of 4 steps is 2 steps; half of the 2 steps that are read is 1."""
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2,), steps=steps)) as recorder:
        for step in range(4):
            recorder.start_step(step, 4)
            recorder.set_target(0, (12, 20), subject_row(*range(TOKENS)), slice(0, 1))
            call_unet(tiny_model)
    torch.testing.assert_close(recorder.half_sums[0][2] * TOKENS, torch.full((1, 12, 20), 3.0 * listened))  # 3 layers
    torch.testing.assert_close(recorder.sums[0][2], 2 * recorder.half_sums[0][2])


@pytest.mark.parametrize(("read", "total"), [((0.0, 1.0), 1), ((0.0, 0.25), 4)])
def test_one_step_has_no_half(tiny_model: DiffusionModel, read: tuple[float, float], total: int) -> None:
    with AttentionRecorder(tiny_model, AttentionConfig(strides_px=(2,), steps=read)) as recorder:
        for step in range(total):
            recorder.start_step(step, total)
            recorder.set_target(0, (12, 20), subject_row(5), slice(0, 1))
            call_unet(tiny_model)
    assert recorder.sums and not recorder.half_sums


def test_blocks_where_both_attentions_read_the_text() -> None:
    """The bundled model's 1/8 blocks have only cross-attention, under both names."""
    model = load_model(find_model("mini"), "cpu", "float32")
    with AttentionRecorder(model, AttentionConfig(strides_px=(8,))) as recorder:
        recorder.start_step(0, 1)
        recorder.set_target(0, (8, 12), subject_row(*range(TOKENS)), slice(0, 1))
        call_unet(model, hw=(8, 12))
    torch.testing.assert_close(recorder.sums[0][8] * TOKENS, torch.full((1, 8, 12), 6.0))  # (1 down + 2 up) x 2


@pytest.mark.parametrize(
    ("cells", "expected"), [(15 * 7, (0, (15, 7))), (8 * 4, (1, (8, 4))), (4 * 2, (2, (4, 2))), (2, (3, (2, 1)))]
)
def testmap_sizes_follow_rounded_up_halving(cells: int, expected: tuple[int, tuple[int, int]]) -> None:
    assert map_size((15, 7), cells) == expected
