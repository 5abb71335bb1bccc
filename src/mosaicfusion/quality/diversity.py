"""The scores of diversity, computed from image features, and the model of their file, ``diversity.json``.

:mod:`mosaicfusion.quality.measure_diversity` applies them to a data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.settings import problems

FILE_NAME = "diversity.json"
MIN_INSTANCES = 5  # of a category: 10 pairs; with fewer, a single outlier decides
MIN_PAIRS = 100  # of two sets: the standard error of the classifier's accuracy is then 4 %


def vendi_score(features: np.ndarray[Any, Any]) -> float:
    """The effective number of different instances, from 1 (all the same) to N, of features, float (N, D).

    The exponential of the entropy of the eigenvalues of K / N, where K is the matrix of cosine similarities (Friedman and
    Dieng 2022). It grows with N, so compare equal numbers only.
    """
    unit = _unit(features)
    # Except for zeros, K / N = X X^T / N has the eigenvalues of X^T X / N.
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = np.linalg.eigvalsh(gram / len(unit))
    values = values[values > 1e-12]
    return float(np.exp(-np.sum(values * np.log(values))))


def mean_cosine_distance(features: np.ndarray[Any, Any]) -> float:
    """1 - cosine similarity, averaged over all pairs of features, float (N, D) with N >= 2; 0 for equal instances.

    Its expected value does not depend on N.
    """
    unit = _unit(features)
    count = len(unit)
    return float(1 - (np.sum(unit.sum(axis=0) ** 2) - count) / (count * (count - 1)))


def _unit(features: np.ndarray[Any, Any]) -> NDArray[np.float64]:
    features = np.asarray(features, np.float64)
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoryGap(_Result):
    """One category compared with real instances.

    The Vendi scores are those of equal numbers of both, ``instances``; the other figures use the whole sample.
    """

    instances: int
    vendi_synthetic: float
    vendi_real: float
    distance_real: float
    kid: float


class CategoryDiversity(_Result):
    """Scores of one category; ``None`` for fewer than :data:`MIN_INSTANCES` instances, and so is ``against``."""

    category: str
    instances: int
    vendi: float | None
    distance: float | None
    against: CategoryGap | None = None


class Gap(_Result):
    """The domain gap between ``pairs`` synthetic and as many real instances, with equal numbers of every category.

    ``fid`` is measured between random halves of both, ``fid_floor`` between the two halves of the real one: the value of a
    perfect set, since FID falls with the number of instances. ``classifier``: see
    :func:`mosaicfusion.quality.domain_gap.classifier_accuracy`.
    """

    pairs: int
    fid: float
    fid_floor: float
    kid: float
    precision: float
    recall: float
    classifier: float


class Diversity(_Result):
    """The content of ``diversity.json``. ``vendi`` and ``distance`` are those of all instances together.

    ``against``: name of the real set. ``gap`` is ``None`` without one, and for fewer than :data:`MIN_PAIRS` pairs. ``unmatched``:
    categories that the real set lacks.
    """

    features: str
    mask_background: bool
    per_category: int
    instances: int
    vendi: float
    distance: float
    categories: tuple[CategoryDiversity, ...]
    against: str | None = None
    pairs: int = 0
    gap: Gap | None = None
    unmatched: tuple[str, ...] = ()


def ranked(result: Diversity) -> list[CategoryDiversity]:
    """The categories with enough instances for scores, the least varied first."""
    enough = [category for category in result.categories if category.distance is not None]
    return sorted(enough, key=lambda category: (category.distance or 0, category.category))


def read_diversity(folder: Path) -> Diversity | None:
    """The result in a run folder, or ``None`` if there is none; raises :class:`MosaicFusionError` if it is damaged."""
    path = folder / FILE_NAME
    try:
        return Diversity.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        problem = problems(error)[0] if isinstance(error, ValidationError) else error
        raise MosaicFusionError(f"{path} is damaged ({problem}); run `mosaicfusion diversity` again") from None
