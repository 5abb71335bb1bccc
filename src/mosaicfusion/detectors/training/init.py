"""The weights of another detector as the start of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mosaicfusion.detectors.checkpoint import WEIGHTS, read_classes, read_weights
from mosaicfusion.detectors.config import Recipe
from mosaicfusion.detectors.data.classes import ClassList, DetectorClass
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.errors import MosaicFusionError


@dataclass(frozen=True)
class StartWeights:
    """Weights and classes of a trained detector; ``digest``: 16 hex digits over the weights. Made by :meth:`open`."""

    folder: Path
    weights: dict[str, Tensor]
    classes: ClassList
    digest: str

    @classmethod
    def open(cls, folder: Path) -> StartWeights:
        """Read ``model.safetensors`` and the classes; raises :class:`MosaicFusionError` if they are missing or damaged."""
        if not (folder / WEIGHTS).exists():
            raise MosaicFusionError(f"{folder} holds no weights of a detector (no {WEIGHTS}); give another --init")
        weights, digest = read_weights(folder)
        return cls(folder, weights, read_classes(folder), digest)


@dataclass(frozen=True)
class TakenWeights:
    """Names of the tensors that were taken and of those that were not.

    ``of_classes``: heads of other classes; ``unfit``: tensors of another shape, or missing in ``source``.
    """

    source: Path
    taken: Sequence[str]
    of_classes: Sequence[str]
    unfit: Sequence[str]


def take_weights(
    start: StartWeights, model: nn.Module, recipe: Recipe, classes: ClassList, text_embeddings: Tensor | None
) -> TakenWeights:
    """Copy all tensors of equal name and shape into a new ``model`` of ``recipe`` and ``classes``.

    Heads with a part for each class are copied only if both class lists have the same names in the same order. Class data
    that are not trained (text embeddings, counts of the federated loss) stay those of ``model``. Raises
    :class:`MosaicFusionError` if nothing fits.
    """
    own = model.state_dict()
    by_class = _by_class(own, recipe, classes, text_embeddings)
    same_classes = start.classes.names == classes.names
    trained = {name for name, _ in model.named_parameters()}
    names = [name for name in own if name in trained or name not in by_class]
    of_classes = [name for name in names if name in by_class and not same_classes]
    others = [name for name in names if name not in set(of_classes)]
    taken = [name for name in others if name in start.weights and start.weights[name].shape == own[name].shape]
    if not set(taken) & trained:
        raise MosaicFusionError(f"no weights of {start.folder} fit this detector; give an --init of the same recipe")
    with torch.no_grad():
        for name in taken:
            own[name].copy_(start.weights[name])
    return TakenWeights(start.folder, taken, of_classes, [name for name in others if name not in set(taken)])


def _by_class(own: dict[str, Tensor], recipe: Recipe, classes: ClassList, text_embeddings: Tensor | None) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes, found by building a detector with one more."""
    last = classes.classes[-1]
    one_more = replace(
        classes, classes=(*classes.classes, DetectorClass(last.id + 1, " ".join(classes.names) + " +", last.frequency))
    )
    vectors = None if text_embeddings is None else torch.cat([text_embeddings, text_embeddings[:1]])
    wider = build_detector(recipe, one_more, vectors, [1] * len(one_more), load_weights=False).state_dict()
    return {name for name, value in own.items() if name not in wider or wider[name].shape != value.shape}
