"""Presets, and how a config is made of a preset, a file and single settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mosaicfusion.arguments import checked
from mosaicfusion.config import BUNDLED_MODEL, RunConfig
from mosaicfusion.diffusion.registry import FAMILIES, Family, family_of
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.layouts import GridLayout
from mosaicfusion.models.hub import find_model
from mosaicfusion.models.pipeline_folder import denoiser_config, scheduler_config, takes_guidance
from mosaicfusion.settings import merge_settings, read_settings

# Plain backgrounds that the miniature was trained with; other models get theirs from --backgrounds.
_MINI_BACKGROUNDS = (
    "green grass",
    "a wooden table",
    "a blue sky",
    "a white background",
    "a gray wall",
    "a blue background",
    "a yellow floor",
    "a pink background",
    "a green background",
    "a textured gray wall",
    "a blurred blue background",
    "a checkered gray background",
)

_TRANSFORMER_LAYOUT = {"region_hw_px": (896, 1152), "overlap_xy_px": (128, 128)}
_TRANSFORMERS = ("pixart", "sana", "sd3", "flux", "flux-schnell")
_FLUX_BLOCKS = ("transformer_blocks.12", "transformer_blocks.17")

PRESETS: dict[str, dict[str, Any]] = {
    # The bundled miniature: 128 px regions; chosen by eye and by the figures of its model card.
    "mini": {
        "layout": {"region_hw_px": (128, 128), "overlap_xy_px": (16, 16), "centre": 0.45},
        "prompt": {"template": "a photo of a single {name}[ on {background}]", "backgrounds": _MINI_BACKGROUNDS},
        "sampling": {"scheduler": "dpm++", "steps": 10, "guidance": 4.0},
        "attention": {"strides_px": (8,)},
    },
    # The paper's setting for Stable Diffusion 1.x, number by number.
    "paper": {},
    # The paper's geometry with a second-order solver: 2.5 times fewer U-Net calls.
    "fast": {"sampling": {"scheduler": "dpm++", "steps": 20}},
    # The paper's geometry for models of Stable Diffusion's size that were trained down to a signal of zero (Lin et al. 2024).
    "zero-snr": {"sampling": {"scheduler": "ddim"}},
    # The paper's setting for SDXL: 768 x 1024 regions; SDXL has no cross-attention at 1/8.
    "sdxl": {
        "layout": {"region_hw_px": (768, 1024), "overlap_xy_px": (128, 96)},
        "sampling": {"scheduler": "euler"},
        "attention": {"strides_px": (16, 32)},
    },
    # Transformers: a token is 16 pixels, regions have about the number of pixels that the models were trained with, and steps and
    # guidance are those that diffusers or the models' authors give. PixArt: all layers of cross-attention.
    "pixart": {
        "layout": _TRANSFORMER_LAYOUT,
        "sampling": {"scheduler": "model", "steps": 20, "guidance": 4.5},
        "attention": {"strides_px": (16,), "blocks": ("transformer_blocks",)},
    },
    "pixart-512": {
        "layout": {"region_hw_px": (448, 576), "overlap_xy_px": (64, 64)},
        "sampling": {"scheduler": "model", "steps": 20, "guidance": 4.5},
        "attention": {"strides_px": (16,), "blocks": ("transformer_blocks",)},
    },
    # A cell of Sana is 32 pixels, so maps are coarse.
    "sana": {
        "layout": _TRANSFORMER_LAYOUT,
        "sampling": {"scheduler": "model", "steps": 20, "guidance": 4.5},
        "attention": {"strides_px": (32,), "blocks": ("transformer_blocks",)},
    },
    # Joint attention: the layers that localise best by Seg4Diff (arXiv 2509.18096).
    "sd3": {
        "layout": _TRANSFORMER_LAYOUT,
        "sampling": {"scheduler": "model", "steps": 28, "guidance": 4.5},
        "attention": {"strides_px": (16,), "blocks": ("transformer_blocks.9",)},
    },
    "flux": {
        "layout": _TRANSFORMER_LAYOUT,
        "sampling": {"scheduler": "model", "steps": 28, "guidance": 3.5},
        "attention": {"strides_px": (16,), "blocks": _FLUX_BLOCKS},
    },
    "flux-schnell": {
        "layout": _TRANSFORMER_LAYOUT,
        "sampling": {"scheduler": "model", "steps": 4, "guidance": 1},
        "attention": {"strides_px": (16,), "blocks": _FLUX_BLOCKS},
    },
}


# What the presets add for scenes: regions of the size that the model was trained with are its smallest objects.
_SCENES: dict[str, dict[str, Any]] = {
    "mini": {
        "layout": {"canvas_hw_px": (512, 512), "objects": (6, 12), "smallest_px": 112, "largest": 0.375, "step_px": 16},
        "prompt": {"scene": "a photo of a single on {background}"},
    },
    "sdxl": {"layout": {"canvas_hw_px": (2048, 2048), "smallest_px": 512}},
    # Whole canvases go through the transformer too, so they are of two megapixels at most.
    **{name: {"layout": {"canvas_hw_px": (1408, 1408), "smallest_px": 512}} for name in _TRANSFORMERS},
}
_SCENE_PROMPT = {"template": "a photo of a single {name}[, {definition}][ on {background}]"}


@checked
def make_config(preset: str | RunConfig | None = None, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Build a config from a preset, or from another config, with some values replaced.

    ``overrides`` is nested like :class:`RunConfig`; ``None`` values are ignored, so that unset flags pass through.
    Without a preset, that of the model's family is used, which needs the model to be found. Raises :class:`MosaicFusionError`.
    """
    overrides = overrides or {}
    if isinstance(preset, RunConfig):
        base = preset.model_dump(exclude_unset=True)
        base["layout"] = {**base.get("layout", {}), "kind": preset.layout.kind}
    else:
        model = overrides.get("model") or BUNDLED_MODEL
        preset = preset or _default_preset(model, overrides.get("revision"), overrides.get("variant"))
        if preset not in PRESETS:
            raise MosaicFusionError(f"unknown preset {preset!r:.80}; choose one of {', '.join(PRESETS)}")
        base = _of_scenes(preset) if _kind(overrides) == "scene" else PRESETS[preset]
    base = _without_other_layout(base, overrides)
    prompt = overrides.get("prompt")
    if isinstance(prompt, dict) and "{background}" not in str(prompt.get("template") or "{background}"):
        # A template of the user's own drops the list of the preset.
        overrides = {**overrides, "prompt": {"backgrounds": (), **prompt}}
    return RunConfig.parse(merge_settings(base, overrides, skip_none=True))


def families() -> list[tuple[Family, tuple[int, int], int]]:
    """Every family of models, with height and width of a region in pixels and the number of steps, by its preset."""
    found = []
    for family in FAMILIES.values():
        config = make_config(family.preset)
        assert isinstance(config.layout, GridLayout)
        found.append((family, config.layout.region_hw_px, config.sampling.steps))
    return found


def as_config(config: RunConfig | Mapping[str, Any] | str | Path | None) -> RunConfig:
    """Return the config that is meant by a preset's name, the path of a settings file, nested settings, or ``None``.

    Settings are nested like :class:`RunConfig` and may begin with ``preset``: ``{"preset": "sdxl", "model": "..."}``.
    Raises :class:`MosaicFusionError`.
    """
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return _from_settings(config)
    if config is None or str(config) in PRESETS:
        return _from_settings({"preset": config})
    try:
        return load_config(config)
    except MosaicFusionError as error:
        if Path(config).suffix:
            raise
        raise MosaicFusionError(f"{error}; the presets are {', '.join(PRESETS)}") from None


def _from_settings(settings: Mapping[str, Any]) -> RunConfig:
    preset = settings.get("preset")
    return check_model(make_config(preset, {key: settings[key] for key in settings if key != "preset"}), preset)


def check_model(config: RunConfig, preset: str | None) -> RunConfig:
    """Return ``config``; raises :class:`MosaicFusionError` if its ``preset`` was made for other models than the bundled one."""
    if preset not in (None, "mini") and config.model == BUNDLED_MODEL:
        raise MosaicFusionError(f"the preset {preset} is for other models than the bundled one; name a model as well")
    return config


def _without_other_layout(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """``base`` without its layout, if ``overrides`` choose a layout of another kind, to which its values do not apply."""
    kind = _kind(overrides)
    other = kind is not None and kind != base.get("layout", {}).get("kind", "grid")
    return {key: value for key, value in base.items() if not (other and key == "layout")}


def _of_scenes(preset: str) -> dict[str, Any]:
    """A preset for scenes: its layout replaced, and its template with the background that all objects share."""
    base = PRESETS[preset]
    scenes = {"layout": {"kind": "scene"}, "prompt": {**_SCENE_PROMPT, **base.get("prompt", {})}}
    return merge_settings({**base, **scenes}, _SCENES.get(preset, {}))


def _kind(overrides: Mapping[str, Any]) -> Any:
    """The kind of layout that ``overrides`` choose, or ``None``."""
    chosen = overrides.get("layout")
    return chosen.get("kind") if isinstance(chosen, Mapping) else None


@checked
def load_config(path: str | Path) -> RunConfig:
    """Read a config from a JSON or YAML file: the ``run.json`` of a run, or some settings.

    The other settings come from the file's ``preset``, or else from the model's. Raises :class:`MosaicFusionError`.
    """
    values = read_settings(as_path(path))
    settings = values.get("config", values)
    return _from_settings(settings) if isinstance(settings, dict) else RunConfig.parse(settings)


def _default_preset(model: Any, revision: str | None, variant: str | None) -> str:
    """The preset of the model's family, or of its kind in the family; the bundled model has its own."""
    if model == BUNDLED_MODEL or not isinstance(model, str):  # what is no name is refused with the other settings
        return "mini"
    folder = find_model(model, revision, variant)
    preset = family_of(folder).preset
    special = _SPECIAL.get(preset)
    return special[0] if special and special[1](folder) else preset


# The presets of models that differ from the others of their family by what a file says.
_SPECIAL: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "paper": ("zero-snr", lambda folder: bool(scheduler_config(folder).get("rescale_betas_zero_snr"))),
    "pixart": ("pixart-512", lambda folder: denoiser_config(folder).get("sample_size") == 64),
    "flux": ("flux-schnell", lambda folder: not takes_guidance(folder)),
}
