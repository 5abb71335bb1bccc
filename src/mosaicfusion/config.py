"""Every choice that shapes the data, in frozen models; presets.

What only changes speed (batch size, device, worker threads) is not here: the same config gives the same data on any machine
up to the floating-point differences between devices.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mosaicfusion.diffusion.model_folder import BUNDLED_MODEL, is_sdxl
from mosaicfusion.errors import MosaicFusionError

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LayoutConfig(_Frozen):
    """The mosaic's geometry, in pixels of the image (paper, section 3.2)."""

    grids: tuple[str, ...] = Field(("2x2",), min_length=1, description="rows x columns; one is drawn for each group")
    region_hw_px: tuple[Positive, Positive] = Field((384, 512), description="nominal region, before jitter and overlap")
    overlap_xy_px: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (64, 48)
    centre: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.375, description="paper's s: the centre of a 2 x 2 canvas lies in [s, 1 - s] of its side; 0.5 is no jitter"
    )
    group_size: Positive = Field(16, description="consecutive canvases that share their split lines")

    @field_validator("grids")
    @classmethod
    def _grids_are_rows_x_columns(cls, grids: tuple[str, ...]) -> tuple[str, ...]:
        for grid in grids:
            if not re.fullmatch(r"[1-9]x[1-9]", grid):
                raise ValueError(f"grid {grid!r} is not ROWSxCOLUMNS with 1 to 9 of each; try 2x2")
        return grids


class PromptConfig(_Frozen):
    """How a category becomes a prompt; see :func:`mosaicfusion.prompts.render` for the template's rules."""

    template: str = Field("a photo of a single {name}[, {definition}]", max_length=400)
    backgrounds: tuple[str, ...] = ()
    negative: str = Field("", max_length=400, description="prompt of the unconditional half of the guidance")

    @field_validator("template")
    @classmethod
    def _template_names_the_subject_once(cls, template: str) -> str:
        fields = re.findall(r"\{(.*?)\}", template)
        unknown = set(fields) - {"name", "definition", "background"}
        if unknown:
            raise ValueError(f"unknown field {{{unknown.pop()}}}; known: {{name}}, {{definition}}, {{background}}")
        if fields.count("name") != 1:
            raise ValueError(f"template {template!r} must hold {{name}} exactly once")
        if re.search(r"\w\{name\}|\{name\}\w", template):
            raise ValueError(f"{{name}} must stand alone in {template!r}: letters beside it would change its tokens")
        if re.sub(r"\[[^\[\]]*\]", "", template).count("[") or "{name}" in "".join(re.findall(r"\[.*?\]", template)):
            raise ValueError(f"template {template!r}: close every [optional part] and keep {{name}} outside of them")
        return template

    @model_validator(mode="after")
    def _backgrounds_are_used(self) -> PromptConfig:
        if self.backgrounds and "{background}" not in self.template:
            raise ValueError(f"backgrounds were given but template {self.template!r} has no {{background}}")
        return self


class SamplingConfig(_Frozen):
    """Diffusion sampling. ``scheduler`` is a short name (``lms``, ``dpm++``) or any diffusers scheduler class."""

    scheduler: str = "lms"
    steps: Positive = 50
    guidance: Annotated[float, Field(ge=1, le=50)] = 7.5
    dtype: Dtype = "auto"


class AttentionConfig(_Frozen):
    """Which cross-attention maps are summed."""

    strides_px: tuple[Positive, ...] = Field(
        (8, 16, 32), min_length=1, description="pixels of the image per map cell; those the model lacks are ignored"
    )
    blocks: tuple[str, ...] = Field(("down", "up"), min_length=1, description="prefixes of U-Net block names")
    steps: tuple[Fraction, Fraction] = Field((0.0, 1.0), description="part of the sampling steps that is read")

    @field_validator("steps")
    @classmethod
    def _steps_in_order(cls, steps: tuple[float, float]) -> tuple[float, float]:
        if steps[0] >= steps[1]:
            raise ValueError(f"attention steps {steps} are empty; the first must be below the second, as in (0, 0.5)")
        return steps


class MaskConfig(_Frozen):
    """From heat map to mask (paper, section 3.3; Barron & Poole 2016 for the bilateral solver)."""

    threshold: Literal["otsu"] | Annotated[float, Field(gt=0, lt=1)] = "otsu"
    refine: bool = True
    rounds: Positive = 2
    sigma_spatial_px: PositiveFloat = 16
    sigma_luma: PositiveFloat = 16
    sigma_chroma: PositiveFloat = 8
    smoothness: PositiveFloat = 256
    cg_iterations: Positive = 25
    cut: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_area: Fraction = Field(0.05, description="smallest component kept, as a part of the region's area")
    max_area: Fraction = Field(0.95, description="largest component kept")

    @model_validator(mode="after")
    def _some_area_is_allowed(self) -> MaskConfig:
        if self.min_area > self.max_area:
            raise ValueError(f"min_area={self.min_area} is above max_area={self.max_area}: no mask could be kept")
        return self


class RunConfig(_Frozen):
    """Everything that decides what canvas number i looks like, apart from the categories themselves.

    The fields' own defaults are the paper's. :func:`make_config` gives a model's preset, which is what is meant most often.
    """

    model: str = BUNDLED_MODEL
    revision: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    layout: LayoutConfig = LayoutConfig()
    prompt: PromptConfig = PromptConfig()
    sampling: SamplingConfig = SamplingConfig()
    attention: AttentionConfig = AttentionConfig()
    masks: MaskConfig = MaskConfig()


# Plain scenes the miniature was trained with; real models get theirs from --backgrounds.
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
    # The paper's setting for SDXL: 768 x 1024 regions; SDXL has no cross-attention at 1/8.
    "sdxl": {
        "layout": {"region_hw_px": (768, 1024), "overlap_xy_px": (128, 96)},
        "sampling": {"scheduler": "euler"},
        "attention": {"strides_px": (16, 32)},
    },
}


def make_config(preset: str | RunConfig | None = None, overrides: dict[str, Any] | None = None) -> RunConfig:
    """A preset, or another config, with some values replaced.

    ``overrides`` is nested like :class:`RunConfig`; ``None`` values are ignored, so that unset flags pass through.
    Without a preset the bundled model gets ``mini``, SDXL ``sdxl``, any other ``paper``. Raises :class:`MosaicFusionError`.
    """
    overrides = overrides or {}
    if isinstance(preset, RunConfig):
        base = preset.model_dump(exclude_unset=True)
    else:
        model = overrides.get("model") or BUNDLED_MODEL
        preset = preset or _default_preset(str(model), overrides.get("revision"))
        if preset not in PRESETS:
            raise MosaicFusionError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
        base = PRESETS[preset]
    prompt = overrides.get("prompt")
    if isinstance(prompt, dict) and "{background}" not in str(prompt.get("template") or "{background}"):
        # A template of the user's own drops the list of the preset.
        overrides = {**overrides, "prompt": {"backgrounds": (), **prompt}}
    return parse_config(_merge(base, overrides))


def parse_config(values: dict[str, Any]) -> RunConfig:
    """Plain values to a config; a wrong one is named with its place. Raises :class:`MosaicFusionError`."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            problems.append(
                f"{place}: {message}" + ("" if "Value error" in item["msg"] else f" (got {item['input']!r:.80})")
            )
        raise MosaicFusionError("the settings do not hold together:\n  " + "\n  ".join(problems)) from None


def load_config(path: Path) -> RunConfig:
    """A config from a JSON file: some settings (the others come from the model's preset), or the ``run.json`` of a run."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MosaicFusionError(f"cannot read the config {path}: {error}") from None
    if not isinstance(values, dict):
        raise MosaicFusionError(f"{path} holds a {type(values).__name__}, not a JSON object with settings")
    settings = values.get("config", values)
    return make_config(None, settings) if isinstance(settings, dict) else parse_config(settings)


def _default_preset(model: str, revision: str | None) -> str:
    if model == BUNDLED_MODEL:
        return "mini"
    return "sdxl" if is_sdxl(model, revision) else "paper"


def fingerprint(*parts: Any) -> str:
    """16 hex digits over JSON-able parts; equal parts, equal digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """``sampling.steps: 20 -> 25`` for every leaf that differs between two JSON-able values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in differences(old.get(key), new.get(key), f"{place}.{key}" if place else key)
        ]
    return [] if old == new else [f"{place}: {old!r:.120} -> {new!r:.120}"]


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Nested values with those of ``top`` put over those of ``base``; ``None`` in ``top`` is ignored."""
    merged = dict(base)
    for key, value in top.items():
        if isinstance(value, dict):
            below = base.get(key)
            merged[key] = _merge(below if isinstance(below, dict) else {}, value)
        elif value is not None:
            merged[key] = value
    return merged
