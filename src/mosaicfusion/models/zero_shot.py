"""Category names as vectors of a CLIP model, for zero-shot classification (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.config import PromptConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.mosaic.prompts import render

TEMPLATES = ("a photo of a single {name}",)


class Clip(Protocol):
    """The protocol of a CLIP model; :func:`mosaicfusion.models.clip.load_clip` loads one."""

    name: str
    logit_scale: float

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Encode images, uint8 RGB (H, W, 3) each, as unit vectors, float32 (N, D)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as unit vectors, float32 (N, D)."""
        ...


def check_templates(templates: Sequence[str]) -> None:
    """Raise :class:`MosaicFusionError` unless there is a template and all are valid templates of a prompt, with {name}."""
    if not templates:
        raise MosaicFusionError("there is no template; write one per line, such as: a photo of a {name}")
    for template in templates:
        PromptConfig(template=template)


def text_vectors(clip: Clip, vocabulary: Sequence[Category], templates: Sequence[str]) -> NDArray[np.float32]:
    """One unit vector for each category, the mean over the templates: float32 (categories, D)."""
    check_templates(templates)
    sums = np.sum(
        [
            clip.encode_texts([render(template, c.display_name, c.definition_or_qualifier)[0] for c in vocabulary])
            for template in templates
        ],
        axis=0,
    )
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)
