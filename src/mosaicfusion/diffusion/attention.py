"""Reading the subject's cross-attention off a U-Net while it samples."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch

from mosaicfusion.config import AttentionConfig
from mosaicfusion.profiling import stage

StrideSums = dict[int, torch.Tensor]  # stride in pixels -> float32 (..., h, w)


@dataclass(frozen=True)
class _Target:
    region: int
    latent_hw: tuple[int, int]
    subject: torch.Tensor  # (B, tokens) float32, each row sums to 1
    conditional: slice  # the half of the U-Net's batch that saw the prompts


class AttentionRecorder:
    """Sums of the subject's cross-attention, by region and map size; a context manager that restores the U-Net.

    Only the subject's columns of softmax(Q K^T) are kept, averaged over heads and added up over layers and steps, so memory
    grows with neither. Cross-attention is recognised by its text input, since names differ between models: with
    ``only_cross_attention``, both attentions of a block read the text. The original processors still compute the output.

    ``sums[region][stride_px]`` is float32 (B, h, w) on the U-Net's device; ``half_sums`` are the sums halfway through the
    steps that are read, empty if there is one step. With ``keep_steps``, ``step_sums[step][region][stride_px]`` are the sums of
    a single step, for all sizes (for figures).
    """

    def __init__(self, unet: Any, config: AttentionConfig, latent_factor: int, keep_steps: bool = False) -> None:
        self.unet = unet
        self.config = config
        self.latent_factor = latent_factor
        self.keep_steps = keep_steps
        self.sums: dict[int, StrideSums] = {}
        self.half_sums: dict[int, StrideSums] = {}
        self.step_sums: dict[int, dict[int, StrideSums]] = {}
        self._target: _Target | None = None
        self._step = 0
        self.recording = True

    def __enter__(self) -> AttentionRecorder:
        self._originals = dict(self.unet.attn_processors)
        watched = tuple(self.config.blocks)
        self.unet.set_attn_processor(
            {
                name: _RecordingProcessor(processor, self) if name.startswith(watched) else processor
                for name, processor in self._originals.items()
            }
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unet.set_attn_processor(self._originals)
        self._target = None

    def start_step(self, step: int, total: int) -> None:
        """Announce the step, of ``total`` ones, that the next U-Net calls belong to."""
        first, last = self.config.steps
        self._step = step
        self.recording = first <= step / total < last
        if self.recording and not self.half_sums and step / total >= (first + last) / 2:
            self.half_sums = {
                region: dict(maps) for region, maps in self.sums.items()
            }  # sums are never changed in place

    def set_target(self, region: int, latent_hw: tuple[int, int], subject: torch.Tensor, conditional: slice) -> None:
        """Announce the region of the next U-Net call.

        ``subject``: float32 (B, tokens), zero except at the subject's tokens, with rows that sum to 1; ``conditional``: the
        slice of the U-Net's batch with the B samples that have prompts.
        """
        self._target = _Target(region, latent_hw, subject, conditional) if self.recording else None

    def clear_target(self) -> None:
        """Announce U-Net calls whose attention is not read."""
        self._target = None

    def record(self, attn: Any, query: torch.Tensor, key: torch.Tensor) -> None:
        """Add one layer's map: ``query`` (batch, h*w, channels) and ``key`` (batch, tokens, channels) of all heads."""
        aim = self._target
        if aim is None:
            return
        level, map_hw = map_size(aim.latent_hw, query.shape[1])
        stride_px = self.latent_factor * 2**level
        used = stride_px in self.config.strides_px
        if not used and not self.keep_steps:
            return
        with stage("read attention"):
            column = subject_attention(attn, query[aim.conditional], key[aim.conditional], aim.subject)
        share = column.reshape(-1, *map_hw)  # (B, h, w)
        if used:
            _add(self.sums.setdefault(aim.region, {}), stride_px, share)
        if self.keep_steps:
            _add(self.step_sums.setdefault(self._step, {}).setdefault(aim.region, {}), stride_px, share)


class _RecordingProcessor:
    """Runs the original processor, and hands the queries and keys that it computes to the recorder.

    Computing them again would cost up to a seventh of a small U-Net's time (benchmarks/attention_overhead.py).
    """

    def __init__(self, original: Any, recorder: AttentionRecorder) -> None:
        self.original = original
        self.recorder = recorder

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        if encoder_hidden_states is None:  # self-attention
            alone: torch.Tensor = self.original(attn, hidden_states, None, *args, **kwargs)
            return alone
        output, query, key = watch_attention(self.original, attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        self.recorder.record(attn, query, key)
        return output


def watch_attention(
    processor: Any, attn: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run a processor; return its output, and the queries and keys of all heads that it computed."""
    made: dict[torch.nn.Module, torch.Tensor] = {}

    def keep(layer: torch.nn.Module, _: Any, result: torch.Tensor) -> None:
        made[layer] = result

    hooks = [layer.register_forward_hook(keep) for layer in (attn.to_q, attn.to_k)]
    try:
        output: torch.Tensor = processor(attn, hidden_states, *args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return output, made[attn.to_q], made[attn.to_k]


def subject_attention(attn: Any, query: torch.Tensor, key: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
    """Cross-attention to the subject, averaged over its tokens and the heads: float32 (B, h*w) in [0, 1].

    ``query`` (B, h*w, channels) and ``key`` (B, tokens, channels), all heads side by side; ``subject`` (B, tokens) with rows
    that sum to 1. The softmax runs over all tokens in float32 (paper, equation 3).
    """
    query = query.reshape(*query.shape[:2], attn.heads, -1).transpose(1, 2)  # (B, heads, h*w, d)
    key = key.reshape(*key.shape[:2], attn.heads, -1).transpose(1, 2)  # (B, heads, tokens, d)
    if attn.upcast_attention:
        query, key = query.float(), key.float()
    scores = query @ (key * attn.scale).transpose(-1, -2)  # (B, heads, h*w, tokens)
    probabilities = scores.softmax(dim=-1, dtype=torch.float32)
    column: torch.Tensor = (probabilities @ subject[:, None, :, None]).squeeze(-1).mean(dim=1)
    return column


def map_size(latent_hw: tuple[int, int], cells: int) -> tuple[int, tuple[int, int]]:
    """The number of times that the latent was halved to have this many cells, and the map's height and width."""
    height, width = latent_hw
    level = 0
    while height * width > cells:
        height, width, level = (height + 1) // 2, (width + 1) // 2, level + 1  # stride-2 convolutions round up
    assert height * width == cells, f"{cells} cells do not come from a latent of {latent_hw}"
    return level, (height, width)


def _add(sums: StrideSums, stride_px: int, share: torch.Tensor) -> None:
    sums[stride_px] = sums[stride_px] + share if stride_px in sums else share
