"""Every choice that shapes the data, in frozen models.

Settings that only change speed are in :class:`mosaicfusion.models.device.DeviceOptions`: the same config gives the same data on
any machine, up to the floating-point differences between devices.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from mosaicfusion.layouts import LAYOUTS, GridLayout, Layout
from mosaicfusion.settings import Settings

BUNDLED_MODEL = "mini"

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(ge=1e-3, le=1e6)]
Policy = Literal["drop", "not_exhaustive"]
MaskFormat = Literal["rle", "polygon"]


def check_template(template: str) -> str:
    """Return a template of a prompt; raises ValueError unless it names the subject once, and closes its optional parts."""
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


class PromptConfig(Settings):
    """The prompt of a category; see :func:`mosaicfusion.mosaic.prompts.render` for the template's rules."""

    template: str = Field(
        "a photo of a single {name}[, {definition}]",
        max_length=400,
        description="[parts] whose field is empty are left out",
    )
    by_category: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="templates of single categories by their name: one of them, at random, instead of the common one",
    )
    backgrounds: tuple[str, ...] = Field((), description="one of them, at random, is {background} of a region's prompt")
    scene: str = Field(
        "a photo of {background}",
        max_length=400,
        description="prompt of the whole canvas, for layouts with a background",
    )
    negative: str = Field("", max_length=400, description="prompt of the unconditional half of the guidance")

    @field_validator("template")
    @classmethod
    def _template_names_the_subject_once(cls, template: str) -> str:
        return check_template(template)

    @field_validator("by_category")
    @classmethod
    def _templates_of_categories(cls, templates: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(check_template(template) for template in lines) for name, lines in templates.items()}

    @model_validator(mode="after")
    def _backgrounds_are_used(self) -> PromptConfig:
        if self.backgrounds and "{background}" not in self.template:
            raise ValueError(f"backgrounds were given but template {self.template!r} has no {{background}}")
        return self


class SamplingConfig(Settings):
    """Diffusion sampling. ``scheduler`` is a short name (``lms``, ``dpm++``) or any diffusers scheduler class."""

    scheduler: str = Field("lms", description="lms, dpm++, ddim, euler, ..., or a scheduler class of diffusers")
    steps: Positive = 50
    guidance: Annotated[float, Field(ge=1, le=50)] = Field(7.5, description="classifier-free guidance scale; 1 is none")
    dtype: Dtype = Field("auto", description="auto: float16 on a GPU, else float32")


class AttentionConfig(Settings):
    """The attention maps that are added up."""

    strides_px: tuple[Positive, ...] = Field(
        (8, 16, 32), min_length=1, description="pixels of the image per map cell; those the model lacks are ignored"
    )
    blocks: tuple[str, ...] = Field(
        ("down", "up"), min_length=1, description="beginnings of the names of the layers that are read"
    )
    steps: tuple[Fraction, Fraction] = Field((0.0, 1.0), description="part of the sampling steps that is read")

    @field_validator("steps")
    @classmethod
    def _steps_in_order(cls, steps: tuple[float, float]) -> tuple[float, float]:
        if steps[0] >= steps[1]:
            raise ValueError(f"attention steps {steps} are empty; the first must be below the second, as in (0, 0.5)")
        return steps


class MaskConfig(Settings):
    """From heat map to mask (paper, section 3.3; Barron & Poole 2016 for the bilateral solver)."""

    threshold: Literal["otsu"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "otsu", description="of the heat map, in (0, 1)"
    )
    refine: bool = Field(True, description="align the mask with the image by the bilateral solver")
    rounds: Positive = Field(2, description="runs of the solver, each on the result of the last")
    sigma_spatial_px: PositiveFloat = Field(16, description="cell of the bilateral grid, in pixels")
    sigma_luma: PositiveFloat = Field(16, description="cell of the bilateral grid, in levels of 0 to 255")
    sigma_chroma: PositiveFloat = Field(8, description="the same for both colour channels")
    smoothness: PositiveFloat = Field(256, description="weight of smoothness against the binary mask")
    cg_iterations: Positive = Field(25, description="steps of conjugate gradients in the solver")
    cut: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="threshold of the solver's result, relative to its maximum"
    )
    min_area: Fraction = Field(0.05, description="smallest component kept, as a part of the region's area")
    max_area: Fraction = Field(0.95, description="largest component kept")
    max_hidden: Fraction = Field(0.7, description="part of an object that others in front may hide")

    @model_validator(mode="after")
    def _some_area_is_allowed(self) -> MaskConfig:
        if self.min_area > self.max_area:
            raise ValueError(f"min_area={self.min_area} is above max_area={self.max_area}: no mask could be kept")
        return self


class ReferenceConfig(Settings):
    """Real objects that generated ones begin from, noised (SDEdit, arXiv 2108.01073); for layouts with a background."""

    file: str | None = Field(None, description="an LVIS or COCO json, or a run folder, with the real objects")
    images: tuple[str, ...] = Field((), description="folders of its images; by default that of the json")
    strength: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.7, description="part of the sampling steps that follow: low stays close to the real object, high is free"
    )
    each: Positive = Field(16, description="most real objects of a category that are used: its largest")
    smallest_px: Positive = Field(24, description="longer side of the smallest real object that is used")
    digest: str | None = Field(None, description="of the objects that were read from file, which are in the run folder")


class OutputSettings(Settings):
    """Settings of the compiled data set. Changing them needs no canvas to be generated again.

    Where settings of an earlier time exist, fields that were not set explicitly keep their earlier value, see :meth:`updated`.
    """

    policy: Policy = Field(
        "not_exhaustive",
        description="canvases with a rejected region: leave out (drop, the paper's rule), or keep and list the region's category "
        "in not_exhaustive_category_ids, so that federated losses and LVIS' evaluation ignore it there (not_exhaustive)",
    )
    masks: MaskFormat = Field(
        "rle", description="detectron2's LVIS loader reads polygons only; both hold the same pixels"
    )
    min_quality: Fraction = Field(0.0, description="instances of a lower predicted mask IoU count as rejected")
    min_semantics: Fraction = Field(0.0, description="the same for the probability of the category, as judged by CLIP")
    mark_background: Fraction = Field(
        0.0,
        description="categories that CLIP finds where nothing is annotated, with this probability or a higher one, count as an "
        "object without a mask; 0: none are searched",
    )
    clip: str = Field(BUNDLED_MODEL, description="the CLIP model of min_semantics and mark_background")

    @property
    def needs_clip(self) -> bool:
        """True if CLIP has to look at the run before its data set is compiled."""
        return self.min_semantics > 0 or self.mark_background > 0

    def updated(self, choices: OutputSettings | None) -> OutputSettings:
        """These settings with the explicitly set fields of ``choices``."""
        return self.model_copy(update=choices.model_dump(exclude_unset=True)) if choices else self


class RunConfig(Settings):
    """All settings that determine the content of canvas number i, apart from the categories.

    The defaults of the fields are the paper's; :func:`mosaicfusion.generation.presets.make_config` gives the preset of a model.
    """

    listed_by: ClassVar[str] = "mosaicfusion settings"

    model: str = Field(BUNDLED_MODEL, description="mini (bundled), a folder in diffusers format, or a hub id")
    revision: str | None = Field(None, description="branch, tag or commit of a hub id")
    variant: str | None = Field(None, description="of the weights: fp16 for model.fp16.safetensors")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="the same seed gives the same data")
    layout: SerializeAsAny[Layout] = GridLayout()
    prompt: PromptConfig = PromptConfig()
    sampling: SamplingConfig = SamplingConfig()
    attention: AttentionConfig = AttentionConfig()
    masks: MaskConfig = MaskConfig()
    references: ReferenceConfig | None = None

    @field_validator("layout", mode="before")
    @classmethod
    def _layout_of_its_kind(cls, layout: Any) -> Any:
        """Choose the class of the layout by ``kind``, by default ``grid``."""
        if not isinstance(layout, dict):
            return layout
        kind = layout.get("kind", "grid")
        if kind not in LAYOUTS:
            raise ValueError(f"unknown layout {kind!r:.40}; choose one of {', '.join(LAYOUTS)}")
        return LAYOUTS[kind].model_validate(layout)
