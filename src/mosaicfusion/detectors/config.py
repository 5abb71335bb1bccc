"""Recipes: frozen settings of a detector and its training, one YAML file for each row of the paper's tables.

Execution settings (device, number of GPUs, worker processes) are not part of a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mosaicfusion.arguments import checked
from mosaicfusion.detectors.registry import BUILDERS
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.remote import as_path
from mosaicfusion.pasting.rule import OBJECTS
from mosaicfusion.settings import Settings, merge_settings, parse_settings, read_settings

Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

RECIPES = files("mosaicfusion.detectors") / "recipes"


_CLIP = "clip/"


class BackboneConfig(Settings):
    """See :func:`mosaicfusion.detectors.models.backbones.build_backbone`."""

    name: str = Field("resnet50", description="resnet50, resnet101, efficientnet_lite0, or timm/NAME; fvlm: clip/NAME")
    pretrained: bool = True
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = Field(
        2, description="stages from the input on; the stem is the first"
    )
    frozen_norm: bool = Field(True, description="keep statistics, scale and shift of batch norms")
    channels: Positive = Field(256, description="channels of every level of the feature pyramid")
    strides: tuple[Literal[4, 8, 16, 32], ...] = Field(
        (4, 8, 16, 32),
        min_length=1,
        description="px per cell of each level; a coarser one is added; centernet2: 8, 16, 32",
    )

    @property
    def clip(self) -> str | None:
        """The CLIP model whose image encoder is the backbone, named like for `--clip`, or None."""
        return self.name.removeprefix(_CLIP) if self.name.startswith(_CLIP) else None

    @field_validator("strides")
    @classmethod
    def _strides_double(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if any(after != 2 * before for before, after in pairwise(strides)) or strides[-1] != 32:
            raise ValueError(f"strides {strides} must double up to 32, such as (8, 16, 32)")
        return strides


class ClassifierConfig(Settings):
    """See :mod:`mosaicfusion.detectors.models.classifier`."""

    kind: Literal["linear", "text"] = "linear"
    temperature: PositiveFloat = Field(0.02, description="text: divisor of the cosines; Detic's 1/50")
    learned_temperature: bool = Field(False, description="text: train the temperature")
    bias: float | None = Field(None, description="text: initial value of a learned bias; None: no bias")


class LossConfig(Settings):
    """See :mod:`mosaicfusion.detectors.models.losses`."""

    kind: Literal["softmax", "sigmoid"] = "softmax"
    federated: bool = Field(False, description="sigmoid: a step counts a sample of the classes only")
    federated_classes: Positive = 50
    federated_power: PositiveFloat = 0.5


class HeadsConfig(Settings):
    """Sizes and thresholds of the proposal and region heads."""

    class_agnostic_boxes: bool = False
    class_agnostic_masks: bool = False
    box_features: Positive = Field(1024, description="width of the two fully connected layers")
    mask_layers: tuple[Positive, ...] = Field((256, 256, 256, 256), min_length=1)
    rois_per_image: Positive = 512
    proposal_convs: Positive = Field(4, description="centernet2: layers of the proposal tower")
    anchor_sizes_px: tuple[Positive, ...] = Field((32, 64, 128, 256, 512), description="one per level")
    proposals_train: tuple[Positive, Positive] = Field(
        (2000, 2000), description="per level before NMS, per image after it"
    )
    proposals_test: tuple[Positive, Positive] = (1000, 1000)
    score_threshold: Share = 1e-4
    nms_threshold: Share = 0.5
    detections: Positive = Field(300, description="maximum per image; LVIS allows 300")


class FVLMConfig(Settings):
    """See :mod:`mosaicfusion.detectors.models.fvlm`."""

    base_clip_weight: Share = Field(0.35, description="weight of CLIP's score in the geometric mean, base classes")
    novel_clip_weight: Share = Field(0.65, description="the same for novel classes, frequency r")
    clip_temperature: PositiveFloat = Field(0.01, description="temperature of the softmax of CLIP's scores")
    background_weight: PositiveFloat = Field(0.9, description="weight of background regions in the classification loss")


class DataConfig(Settings):
    """Image sizes in pixels, and augmentation."""

    resize: Literal["short_side", "large_scale_jitter"] = "short_side"
    train_sides_px: tuple[Positive, ...] = Field(
        (640, 672, 704, 736, 768, 800), min_length=1, description="short_side: one is chosen at random"
    )
    jitter_side_px: Positive = Field(1024, description="large_scale_jitter: side of the square")
    jitter_scale: tuple[PositiveFloat, PositiveFloat] = (0.1, 2.0)
    test_side_px: Positive = 800
    max_side_px: Positive = 1333
    flip: Share = 0.5
    repeat_threshold: Share = Field(1e-3, description="threshold t of repeat-factor sampling; 0: off")
    synthetic_share: Share | None = Field(
        None, description="part of the samples that are synthetic images; null: as it follows from their number"
    )
    ignore_edge: Share = Field(
        0.0,
        description="mask loss: width of the band on each side of a synthetic mask's edge that does not count, as part of the "
        "object's size; 0: off",
    )
    pool: tuple[str, ...] = Field(
        (), description="run folders, or jsons beside their images, whose instances are pasted on real images"
    )
    paste_probability: Share = Field(0.5, description="pool: part of the looks at real images with pasted instances")
    paste_objects: tuple[Positive, Positive] = Field(OBJECTS, description="pool: fewest and most on an image")
    copy_paste: bool = False
    mosaic: bool = False

    @field_validator("pool", mode="before")
    @classmethod
    def _one_or_several(cls, pool: Any) -> Any:
        several = [pool] if isinstance(pool, str | Path) else pool
        return [str(one) if isinstance(one, Path) else one for one in several] if isinstance(several, list) else pool

    @field_validator("paste_objects")
    @classmethod
    def _in_order(cls, objects: tuple[int, int]) -> tuple[int, int]:
        if objects[0] > objects[1]:
            raise ValueError(f"{list(objects)} must be the fewest and the most instances, such as {list(OBJECTS)}")
        return objects


class ScheduleConfig(Settings):
    """Optimizer and learning rate. ``batch_size``: images of a step on all devices together."""

    iterations: Positive = 90_000
    batch_size: Positive = 16
    accumulate: Positive = Field(1, description="parts of a batch processed in sequence to save memory")
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.02
    backbone_rate: PositiveFloat = Field(
        1.0, description="learning rate of the backbone's body, relative to learning_rate"
    )
    momentum: Share = Field(0.9, description="sgd: momentum")
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup_iterations: Annotated[int, Field(ge=0)] = 1000
    warmup_factor: Share = 1e-3
    decay: Literal["step", "cosine"] = "step"
    steps: tuple[Positive, ...] = Field(
        (60_000, 80_000), description="step: iterations at which the rate is divided by 10"
    )
    clip_norm: PositiveFloat | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="decay of averaged weights")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _batch_can_be_split(self) -> ScheduleConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be split into accumulate={self.accumulate} equal parts"
            )
        return self


class Recipe(Settings):
    """A detector and its training. The defaults are the paper's Mask R-CNN R50-FPN."""

    listed_by: ClassVar[str] = "mosaicfusion settings --recipe lvis_r50"

    detector: str = Field("mask_rcnn", description=", ".join(BUILDERS))
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    backbone: BackboneConfig = BackboneConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    loss: LossConfig = LossConfig()
    heads: HeadsConfig = HeadsConfig()
    fvlm: FVLMConfig = FVLMConfig()
    data: DataConfig = DataConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @field_validator("detector")
    @classmethod
    def _detector_is_registered(cls, name: str) -> str:
        if name not in BUILDERS:
            raise ValueError(f"unknown detector {name!r:.80}; choose one of {', '.join(BUILDERS)}")
        return name

    @model_validator(mode="after")
    def _loss_can_be_federated(self) -> Recipe:
        if self.loss.federated and self.loss.kind != "sigmoid":
            raise ValueError("loss.federated needs loss.kind=sigmoid: softmax cannot leave classes out")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(file.name.removesuffix(".yaml") for file in RECIPES.iterdir() if file.name.endswith(".yaml"))


def as_recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """Return the recipe that is meant by a name, the path of a YAML file, or nested settings.

    Raises :class:`MosaicFusionError`.
    """
    return Recipe.of(recipe) if isinstance(recipe, Recipe | Mapping) else load_recipe(recipe)


@checked
def load_recipe(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load a recipe by name or from a YAML file, and replace the values in ``overrides``, nested like :class:`Recipe`.

    Raises :class:`MosaicFusionError` naming the wrong setting.
    """
    path = as_path(source)
    known = recipe_names()
    if str(source) in known:
        values = parse_settings((RECIPES / f"{source}.yaml").read_text(encoding="utf-8"), str(source), is_yaml=True)
    elif path.suffix in (".yaml", ".yml"):
        values = read_settings(path)
    else:
        raise MosaicFusionError(
            f"unknown recipe {str(source)!r:.80}; choose one of {', '.join(known)}, or a .yaml file"
        )
    return Recipe.parse(merge_settings(values, overrides or {}))
