"""The table of detectors. To add one, write ``detectors/models/NAME.py`` with a function ``build``, and one line here.

Recipes take their allowed names from the table, so this module imports neither torch nor a detector until one is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mosaicfusion.detectors.config import Recipe
    from mosaicfusion.detectors.data.classes import ClassList

BUILDERS = {
    "mask_rcnn": "mosaicfusion.detectors.models.mask_rcnn",
    "centernet2": "mosaicfusion.detectors.models.centernet2",
    "fvlm": "mosaicfusion.detectors.models.fvlm",
}
"""Name of each detector -> the module whose ``build`` makes it, a :class:`Builder`."""


class Builder(Protocol):
    """Makes a detector in torchvision's form: ``model(images, targets)`` gives losses in training, else detections.

    ``text_embeddings``: float (C, D) by label, for a classifier of kind text. ``image_counts``: training images of each
    class, by label. ``load_weights=False``: skip pretrained weights, because the detector's own are loaded next. In training
    the images have their final size; in evaluation the model resizes them. Raises :class:`MosaicFusionError` for settings
    that the detector cannot use.
    """

    def __call__(
        self,
        recipe: Recipe,
        classes: ClassList,
        text_embeddings: Tensor | None = None,
        image_counts: Sequence[int] | None = None,
        load_weights: bool = True,
    ) -> nn.Module: ...


def build_detector(
    recipe: Recipe,
    classes: ClassList,
    text_embeddings: Tensor | None = None,
    image_counts: Sequence[int] | None = None,
    load_weights: bool = True,
) -> nn.Module:
    """Build the recipe's detector; see :class:`Builder` for the arguments and errors."""
    build: Builder = import_module(BUILDERS[recipe.detector]).build
    return build(recipe, classes, text_embeddings, image_counts, load_weights)
