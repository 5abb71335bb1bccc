"""Rendered scenes: objects are composed inside the cross-attention of one call (LaRender, arXiv 2508.07647)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionCall, AttentionRecorder, StrideSums, Tap, map_size
from mosaicfusion.diffusion.binding import Tile
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.guidance import guidance_halves, guided_prediction, subject_rows
from mosaicfusion.diffusion.starts import Starts
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt, render_background

_DENSITIES = (10.0, 1.0)  # of objects at the first and the last step: opaque while the layout forms, then soft edges

_PADDING = -10000.0  # what diffusers adds to the scores of padding


class Rendered:
    """The binding ``rendered``, for models with true cross-attention; see :class:`~mosaicfusion.diffusion.binding.Binding`.

    Objects see the whole canvas by self-attention, and share its light and ground. In each cross-attention, every object's own
    prompt answers all pixels; the answers are mixed like translucent layers, those in front first, the background's prompt last.
    An object's layer is as dense as its own attention, inside its region. The unconditional half stays plain.
    """

    def __init__(
        self,
        model: DiffusionModel,
        specs: Sequence[CanvasSpec],
        prompts: Sequence[Sequence[Prompt]],
        config: RunConfig,
        recorder: AttentionRecorder,
        starts: Starts | None = None,
    ) -> None:
        self.model, self.config, self.recorder = model, config, recorder
        self.waiting = starts.tiles if starts else frozenset()
        self.canvases = [spec.canvas for spec in specs]
        self.text = guidance_halves(
            model, [render_background(config.prompt.scene, spec.backgrounds[0]) for spec in specs], config
        )
        own = [prompt for one in prompts for prompt in one]
        self.tiles: list[Tile] = [(b, k) for b, one in enumerate(prompts) for k in range(len(one))]
        self.objects = model.encode([prompt.text for prompt in own])
        self.subjects = subject_rows([prompt.subject for prompt in own], self.objects.embeddings)
        self.answering = model.project(self.objects.embeddings)
        self.latent_hw = self._latent_hw()
        self.boxes = self._boxes()
        self.density = _DENSITIES[0]

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor, progress: float) -> torch.Tensor:
        """See :class:`~mosaicfusion.diffusion.binding.Binding`."""
        first, last = _DENSITIES
        self.density = first + (last - first) * progress
        samples = len(self.text.embeddings)
        self.recorder.set_target(0, self.latent_hw, self.subjects, slice(samples, None))
        originals = dict(self.model.denoiser.attn_processors)
        self.model.denoiser.set_attn_processor({name: _Composing(one, self) for name, one in originals.items()})
        try:
            return guided_prediction(self.model, scaled, timestep, self.text, self.config, self.canvases[0].hw_px)
        finally:
            self.model.denoiser.set_attn_processor(originals)
            self.recorder.clear_target()

    def maps(self, sums: dict[int, StrideSums]) -> dict[Tile, StrideSums]:
        """See :class:`~mosaicfusion.diffusion.binding.Binding`; the part of the canvas' map in the region, interpolated."""
        return {
            (b, k): {stride: self._cut(stacked[row], b, k, stride) for stride, stacked in sums.get(0, {}).items()}
            for row, (b, k) in enumerate(self.tiles)
        }

    def expand(self, hidden: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a sample for each object: its canvas' pixels with its own prompt."""
        conditional = len(hidden) - len(self.canvases)  # the unconditional half comes first, if there is one
        rows = [conditional + b for b, _ in self.tiles]
        return torch.cat([hidden, hidden[rows]]), torch.cat([text, self.answering.to(text.dtype)])

    def expand_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """Append the rows of the objects' prompts to what is added to the scores of padding, (samples, 1, tokens)."""
        assert self.objects.mask is not None
        own = (1 - self.objects.mask.to(mask.dtype)) * _PADDING
        return torch.cat([mask, own[:, None]])

    def compose(self, output: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """Mix the answers to the objects' prompts into those to the background's, (samples + objects, h*w, channels).

        ``attention``: float32 (objects, h*w), of the subjects. With M_i the attention in the region by its maximum, s the density
        and T_i the product of exp(-s M_j) over the objects j in front, object i weighs T_i (1 - exp(-s)) M_i.
        """
        samples = len(output) - len(self.tiles)
        mixed, answers = output[:samples].clone(), output[samples:]
        _, map_hw = map_size(self.latent_hw, output.shape[1])
        presence = attention * functional.interpolate(self.boxes[:, None], map_hw, mode="area").flatten(1)
        presence = presence / presence.amax(1, keepdim=True).clamp_min(1e-12)
        weight = presence * (1 - float(torch.tensor(-self.density).exp()))
        clear = (-self.density * presence).exp()  # what an object lets through
        for b in range(len(self.canvases)):
            own = [row for row, (canvas, _) in enumerate(self.tiles) if canvas == b]
            through = torch.ones_like(clear[0])
            total, layers = torch.zeros_like(through), torch.zeros_like(mixed[0], dtype=torch.float32)
            for row in reversed(own):  # from front to back
                if self.tiles[row] in self.waiting:
                    continue
                share = through * weight[row]
                layers += share[:, None] * answers[row]
                total += share
                through = through * clear[row]
            row = samples - len(self.canvases) + b
            mixed[row] = ((layers + through[:, None] * mixed[row]) / (total + through)[:, None]).to(mixed.dtype)
        return mixed

    def _latent_hw(self) -> tuple[int, int]:
        height, width = self.canvases[0].hw_px
        return height // self.model.latent_factor, width // self.model.latent_factor

    def _boxes(self) -> torch.Tensor:
        """1 in the region of each object, float32 (objects, h, w) at the latents' size."""
        boxes = torch.zeros(len(self.tiles), *self.latent_hw, device=self.model.device)
        for row, (b, k) in enumerate(self.tiles):
            boxes[row][self.canvases[b].regions[k].divided_by(self.model.latent_factor).slices] = 1
        return boxes

    def _cut(self, whole: torch.Tensor, b: int, k: int, stride: int) -> torch.Tensor:
        canvas, region = self.canvases[b], self.canvases[b].regions[k]
        axes = []
        for first, last, side in (
            (region.top, region.bottom, canvas.hw_px[0]),
            (region.left, region.right, canvas.hw_px[1]),
        ):
            cells = -(-(last - first) // stride)
            centres = first + (torch.arange(cells, device=whole.device) + 0.5) * (last - first) / cells
            axes.append(2 * centres / side - 1)
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        grid = torch.stack([columns, rows], -1)[None]
        cut = functional.grid_sample(whole[None, None], grid, padding_mode="border", align_corners=False)
        return cut[0, 0]


class _Composing:
    """Runs a cross-attention for the background's and the objects' prompts together, and mixes the answers."""

    def __init__(self, original: Any, scene: Rendered) -> None:
        self.original, self.scene = original, scene

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
        hidden, text = self.scene.expand(hidden_states, encoder_hidden_states)
        if kwargs.get("attention_mask") is not None:
            kwargs["attention_mask"] = self.scene.expand_mask(kwargs["attention_mask"])
        seen: list[AttentionCall] = []
        with Tap(seen.append):
            output = self.original(attn, hidden, text, *args, **kwargs)
        return self.scene.compose(output, seen[-1].part(slice(len(hidden_states), None)).to(self.scene.subjects))
