"""Reading the attention to the subject's tokens off a denoiser while it samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from mosaicfusion.config import AttentionConfig
from mosaicfusion.profiling import stage

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel

StrideSums = dict[int, torch.Tensor]  # stride in pixels -> float32 (..., h, w)


@dataclass(frozen=True)
class AttentionCall:
    """The arguments that a layer gave to scaled-dot-product attention, after its norms and rotations.

    ``query`` (B, heads, queries, d), ``key`` (B, heads, keys, d), ``mask`` that broadcasts to (B, heads, queries, keys).
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None = None
    scale: float | None = None
    grouped: bool = False

    @classmethod
    def of(
        cls,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> AttentionCall:
        """From the arguments of torch's function."""
        return cls(query, key, attn_mask, scale, enable_gqa)

    def part(self, rows: slice, queries: slice = slice(None)) -> AttentionCall:
        """The call for some samples of the batch, and some of their queries."""
        mask = self.mask
        if mask is not None:
            mask = mask[rows] if mask.shape[0] > 1 else mask
            mask = mask[:, :, queries] if mask.shape[2] > 1 else mask
        return AttentionCall(self.query[rows, :, queries], self.key[rows], mask, self.scale, self.grouped)

    def to(self, subject: torch.Tensor) -> torch.Tensor:
        """Attention to the subject, averaged over its tokens and the heads: float32 (B, queries) in [0, 1].

        ``subject``: float32 (B, keys), with rows that sum to 1. It takes the place of the values, so that the softmax over all
        keys (paper, equation 3) is computed in the fused kernels and no matrix of queries x keys exists.
        """
        heads, width = self.key.shape[1], self.key.shape[3]  # values as wide as keys: else torch takes its slow path
        values = subject.to(self.query.dtype)[:, None, :, None].repeat(1, 1, 1, width).expand(-1, heads, -1, -1)
        with torch._C.DisableTorchFunction():  # no tap takes it for the layer's own call
            result = functional.scaled_dot_product_attention(
                self.query, self.key, values, self.mask, scale=self.scale, enable_gqa=self.grouped
            )
        column: torch.Tensor = result[..., 0].float().mean(dim=1)
        return column


class Tap(TorchFunctionMode):
    """Hands every call of scaled-dot-product attention in its block to ``see``, and changes nothing.

    It sees whatever a processor does to queries and keys before, fused projections included.
    """

    def __init__(self, see: Callable[[AttentionCall], None]) -> None:
        super().__init__()
        self.see = see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self.see(AttentionCall.of(*args, **kwargs))
        return func(*args, **kwargs)


@dataclass(frozen=True)
class _Target:
    region: int
    latent_hw: tuple[int, int]
    subject: torch.Tensor  # (B, tokens) float32, each row sums to 1
    conditional: slice  # the half of the denoiser's batch that saw the prompts


class AttentionRecorder:
    """Sums of the attention to the subject, by region and map size; a context manager that restores the denoiser.

    Only the subject's columns of softmax(Q K^T) are kept, averaged over heads and added up over layers and steps, so memory
    grows with neither. In cross-attention, which is recognised by its text input, the keys are the text's; in joint
    attention they are those of image and text, and the softmax runs over all of them.

    ``sums[region][stride_px]`` is float32 (B, h, w) on the denoiser's device; ``half_sums`` are the sums halfway through the
    steps that are read, empty if there is one step. With ``keep_steps``, ``step_sums[step][region][stride_px]`` are the sums of
    a single step, for all sizes (for figures).
    """

    def __init__(self, model: DiffusionModel, config: AttentionConfig, keep_steps: bool = False) -> None:
        self.model = model
        self.config = config
        self.keep_steps = keep_steps
        self.sums: dict[int, StrideSums] = {}
        self.half_sums: dict[int, StrideSums] = {}
        self.step_sums: dict[int, dict[int, StrideSums]] = {}
        self._target: _Target | None = None
        self._hooks: list[RemovableHandle] = []
        self._taps: list[ExitStack] = []
        self._step = 0
        self.recording = True

    def __enter__(self) -> AttentionRecorder:
        for name, layer in self.model.denoiser.named_modules():
            if hasattr(layer, "processor") and any(is_of_block(name, block) for block in self.config.blocks):
                self._hooks += [
                    layer.register_forward_pre_hook(self._open, with_kwargs=True),
                    layer.register_forward_hook(self._close, always_call=True),
                ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._target = None

    def start_step(self, step: int, total: int) -> None:
        """Announce the step, of ``total`` ones, that the next calls of the denoiser belong to."""
        first, last = self.config.steps
        self._step = step
        self.recording = first <= step / total < last
        if self.recording and not self.half_sums and step / total >= (first + last) / 2:
            self.half_sums = {
                region: dict(maps) for region, maps in self.sums.items()
            }  # sums are never changed in place

    def set_target(self, region: int, latent_hw: tuple[int, int], subject: torch.Tensor, conditional: slice) -> None:
        """Announce the region of the denoiser's next call.

        ``subject``: float32 (B, tokens), zero except at the subject's tokens, with rows that sum to 1; ``conditional``: the
        slice of the denoiser's batch with the B samples that have prompts.
        """
        self._target = _Target(region, latent_hw, subject, conditional) if self.recording else None

    def clear_target(self) -> None:
        """Announce calls of the denoiser whose attention is not read."""
        self._target = None

    def record(self, call: AttentionCall) -> None:
        """Add one layer's map."""
        aim = self._target
        if aim is None or (seen := self._of_image(call, aim)) is None:
            return
        call, subject = seen
        level, map_hw = map_size(aim.latent_hw, call.query.shape[2])
        stride_px = self.model.latent_factor * 2**level
        used = stride_px in self.config.strides_px
        if not used and not self.keep_steps:
            return
        with stage("read attention"):
            share = call.to(subject).reshape(-1, *map_hw)  # (B, h, w)
        if used:
            _add(self.sums.setdefault(aim.region, {}), stride_px, share)
        if self.keep_steps:
            _add(self.step_sums.setdefault(self._step, {}).setdefault(aim.region, {}), stride_px, share)

    def _of_image(self, call: AttentionCall, aim: _Target) -> tuple[AttentionCall, torch.Tensor] | None:
        """The prompts' half of a call with the queries of the image, and the subject among its keys; ``None`` without text."""
        if self.model.text_place == "apart":
            return call.part(aim.conditional), aim.subject
        cells, tokens = aim.latent_hw[0] * aim.latent_hw[1], aim.subject.shape[1]
        if call.key.shape[2] != cells + tokens:  # attention of the image to itself alone
            return None
        first = self.model.text_place == "first"
        subject = functional.pad(aim.subject, (0, cells) if first else (cells, 0))
        return call.part(aim.conditional, slice(tokens, None) if first else slice(cells)), subject

    def _open(self, layer: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        text = kwargs.get("encoder_hidden_states", args[1] if len(args) > 1 else None)
        if self._target is None or (text is None and self.model.text_place == "apart"):
            return
        self._taps.append(ExitStack())
        self._taps[-1].enter_context(Tap(self.record))

    def _close(self, *_: Any) -> None:
        if self._taps:
            self._taps.pop().close()


def is_of_block(name: str, block: str) -> bool:
    """True if a layer's name begins with that of the block; ``blocks.1`` is not the beginning of ``blocks.10``."""
    return name.startswith(block) and not (block[-1:].isdigit() and name[len(block) :][:1].isdigit())


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
