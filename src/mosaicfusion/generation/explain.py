"""The attention figure of one canvas, which shows how its masks are made."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicfusion.arguments import checked
from mosaicfusion.categories import Selection, Vocabulary
from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError, counted
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.files.remote import as_path
from mosaicfusion.files.writable import check_writable
from mosaicfusion.generation.canvas_sampler import check_plan
from mosaicfusion.generation.presets import as_config
from mosaicfusion.generation.real_set import with_real_set
from mosaicfusion.generation.recording import extract_record
from mosaicfusion.generation.selection import select
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan

if TYPE_CHECKING:
    from mosaicfusion.diffusion.sampler import SampledCanvas

MAX_OBJECTS = 9


@checked
def explain(
    categories: str | Path | Sequence[str] | Vocabulary,
    out: str | Path,
    config: RunConfig | Mapping[str, Any] | str | Path | None = None,
    device: DeviceOptions | Mapping[str, Any] | str = "auto",
) -> Path:
    """Generate one canvas that shows every category, and write its attention figure, a PNG, into ``out``.

    The canvas is a scene with all categories (at most 9), or the squarest grid that holds them; there, of 5 or 7 one is twice.
    Returns its path.
    """
    from mosaicfusion.report.explain import explain_figure

    out, config = as_path(out), as_config(config)
    check_writable(out)  # before a model is loaded
    categories = select(categories, config.model).main
    canvas = sample_one(categories, config, DeviceOptions.of(device))
    figure = explain_figure(canvas, extract_record(canvas, config), config)
    buffer = io.BytesIO()
    figure.save(buffer, "PNG")
    names = re.sub(r"[^a-z0-9]+", "-", " ".join(category.display_name for category in categories).casefold()).strip("-")
    path = out / f"{names[:60] or 'canvas'}-seed{config.seed}.png"
    write_atomic(path, buffer.getvalue())
    return path


def sample_one(categories: Vocabulary, config: RunConfig, device: DeviceOptions | str = "auto") -> SampledCanvas:
    """Sample a canvas with every category, with the attention of every step."""
    from mosaicfusion.diffusion.checks import check_settings
    from mosaicfusion.diffusion.registry import load_model
    from mosaicfusion.diffusion.sampler import sample_canvases

    config = fit_layout(config, categories)
    folder = find_model(config.model, config.revision, config.variant)
    check_settings(folder, config)
    model = load_model(folder, device, config.sampling.dtype, config.variant)
    config.layout.check(model.latent_factor)
    plan = Plan(config, categories[:1], categories, model.latent_factor)
    check_plan(model, plan)
    return sample_canvases(model, [plan.spec(0)], config, keep_steps=True)[0]


def fit_layout(config: RunConfig, categories: Vocabulary) -> RunConfig:
    """``config`` with a layout for a canvas that shows every category; raises :class:`MosaicFusionError` if there is none."""
    if len(categories) > MAX_OBJECTS:
        raise MosaicFusionError(f"a figure shows at most {MAX_OBJECTS} categories, not {len(categories)}; name fewer")
    config = with_real_set(config, Selection(categories, categories))
    config = config.model_copy(update={"layout": config.layout.with_count(len(categories))})
    if (shown := Plan(config, categories[:1], categories, latent_factor=8).count(0)) < len(categories):
        raise MosaicFusionError(
            f"the layout {config.layout.kind!r} shows {counted(shown, 'object')}, not {len(categories)}; name fewer categories"
        )
    return config
