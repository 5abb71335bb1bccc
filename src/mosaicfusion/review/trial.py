"""Trying settings: one canvas at a time, its masks made anew without sampling, and the settings to keep."""

from __future__ import annotations

import io
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaicfusion.categories import Selection, Vocabulary
from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.images import encode_jpeg
from mosaicfusion.generation.canvas_sampler import check_plan
from mosaicfusion.generation.explain import fit_layout
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.recording import extract_record, shrink
from mosaicfusion.generation.selection import select
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.rejection import reason_name
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.report.images import region_instances
from mosaicfusion.report.overlays import colour_map, instance_layer, readable_scale
from mosaicfusion.settings import merge_settings

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel
    from mosaicfusion.diffusion.sampler import SampledCanvas

_MODEL = ("model", "revision", "variant")


@dataclass(frozen=True)
class _Tried:
    """A canvas and what it was sampled with. ``numbers`` of trials begin at 1."""

    number: int
    names: str
    config: RunConfig
    canvas: SampledCanvas


class Trial:
    """Samples canvases in the background, one after the other. The model stays loaded until another one is asked for."""

    def __init__(self, device: DeviceOptions | str = "auto") -> None:
        self._device = device
        self._model: tuple[tuple[Any, ...], DiffusionModel] | None = None
        self._tried: _Tried | None = None
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {"number": 0, "busy": False, "done": 0, "total": 0, "error": ""}

    @property
    def state(self) -> dict[str, Any]:
        """``number`` of the last trial, ``busy``, steps ``done`` of ``total``, and an ``error``."""
        return dict(self._state)

    def start(self, names: str, settings: Mapping[str, Any]) -> int:
        """Begin to sample a canvas with these categories; returns the number of the trial.

        ``settings``: nested, over the model's preset. Raises :class:`MosaicFusionError` for settings that cannot be, and while a
        canvas is being sampled.
        """
        if settings.get("references") or "like:" in str(settings.get("layout")):
            raise MosaicFusionError("this page reads no files: leave out references, and sizes like those of a set")
        config = make_config(None, dict(settings))
        selection = select(names, config.model)
        if not self._lock.acquire(blocking=False):
            raise MosaicFusionError("a canvas is being sampled; wait for it")
        number = int(self._state["number"]) + 1
        self._state = {"number": number, "busy": True, "done": 0, "total": config.sampling.steps, "error": ""}
        threading.Thread(target=self._run, args=(number, names, config, selection), daemon=True).start()
        return number

    def _run(self, number: int, names: str, config: RunConfig, selection: Selection) -> None:
        try:
            self._tried = _Tried(number, names, config, self._sample(config, selection.main))
        except Exception as error:
            known = isinstance(error, MosaicFusionError)
            self._state["error"] = str(error) if known else f"unforeseen {type(error).__name__}: {error}"
        finally:
            self._state["busy"] = False
            self._lock.release()

    def _sample(self, config: RunConfig, categories: Vocabulary) -> SampledCanvas:
        from mosaicfusion.diffusion.sampler import sample_canvases

        config = fit_layout(config, categories)
        model = self._load(config)
        config.layout.check(model.latent_factor)
        plan = Plan(config, categories[:1], categories, model.latent_factor)
        check_plan(model, plan)

        def on_step(done: int, total: int) -> None:
            self._state |= {"done": done, "total": total}

        return sample_canvases(model, [plan.spec(0)], config, on_step=on_step)[0]

    def _load(self, config: RunConfig) -> DiffusionModel:
        from mosaicfusion.diffusion.registry import load_model

        key = (*(getattr(config, name) for name in _MODEL), config.sampling.dtype)
        if self._model is None or self._model[0] != key:
            self._model = None  # before the next one takes memory
            folder = find_model(config.model, config.revision, config.variant)
            self._model = key, load_model(folder, self._device, config.sampling.dtype, config.variant)
        return self._model[1]

    def image(self) -> bytes:
        """The image of the last canvas, JPEG."""
        canvas = self._last().canvas
        if canvas.image is None:
            raise MosaicFusionError("the latents became NaN or infinite; another dtype may do better")
        return encode_jpeg(shrink(canvas.image, canvas.spec.canvas.render_scale))

    def masks(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Make masks with these settings, without sampling. ``layer`` is a PNG to lie over the image."""
        tried, config = self._last(), self._with_masks(settings)
        record = extract_record(tried.canvas, config)
        pixels = instance_layer(record.hw_px, region_instances(record), readable_scale(record.hw_px, 1024))
        objects = [
            {
                "category": region.category,
                "prompt": region.prompt,
                "reason": None if region.reason is None else reason_name(region.reason),
                "quality": region.quality,
                "hidden": region.hidden_part,
                "box": list(region.region_xywh),
            }
            for region in record.regions
        ]
        return {"objects": objects, "hw": record.hw_px, "layer": _encode(pixels, "PNG")}

    def attention(self, k: int) -> bytes:
        """The heat map of an object over its region, WebP. Raises :class:`MosaicFusionError` if there is no such object."""
        canvas = self._last().canvas
        if not 0 <= k < len(canvas.sums) or canvas.image is None:
            raise MosaicFusionError(f"there is no object {k}")
        region = canvas.spec.canvas.regions[k]
        return _encode(colour_map(heat_map(canvas.sums[k], region.hw)), "WEBP")

    def keep(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """The settings of the last trial with those of its masks, as a file for ``--config``, and the command that takes it."""
        tried = self._last()
        command = [
            "mosaicfusion",
            "generate",
            "--categories",
            tried.names,
            "--config",
            "tried.yaml",
            "--out",
            "runs/tried",
        ]
        return {"yaml": self._with_masks(settings).to_yaml(), "command": shlex.join(command)}

    def _with_masks(self, settings: Mapping[str, Any]) -> RunConfig:
        base = self._last().config.model_dump(exclude_unset=False)
        return RunConfig.parse(merge_settings(base, {"masks": dict(settings)}))

    def _last(self) -> _Tried:
        if self._tried is None:
            raise MosaicFusionError("no canvas was sampled yet")
        return self._tried


def _encode(pixels: NDArray[np.uint8], kind: Literal["WEBP", "PNG"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
