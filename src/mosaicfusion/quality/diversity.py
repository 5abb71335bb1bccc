"""How much the instances of a category differ from each other: two scores of features, and the results kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from mosaicfusion.errors import MosaicFusionError, first_line

FILE_NAME = "diversity.json"
MIN_INSTANCES = 5  # of a category: 10 pairs; with fewer, one odd picture decides
MIN_PAIRS = 100  # of two sets: the classifier's accuracy then has a standard error of 4 %


def vendi_score(features: np.ndarray[Any, Any]) -> float:
    """features: float (N, D) -> the effective number of different instances, from 1 (all the same) to N.

    The exponential of the entropy of the eigenvalues of K / N, where K holds the cosine similarities (Friedman and Dieng
    2022). It grows with N: compare equal numbers only.
    """
    unit = _unit(features)
    # K / N = X X^T / N has the eigenvalues of X^T X / N, but for zeros.
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = np.linalg.eigvalsh(gram / len(unit))
    values = values[values > 1e-12]
    return float(np.exp(-np.sum(values * np.log(values))))


def mean_cosine_distance(features: np.ndarray[Any, Any]) -> float:
    """features: float (N, D), N >= 2 -> 1 - cosine similarity, averaged over all pairs; 0 for equal instances.

    Its mean does not depend on N.
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
    """Vendi scores of equal numbers, ``instances``, of both sides; the other figures of all that were sampled."""

    instances: int
    vendi_synthetic: float
    vendi_real: float
    distance_real: float
    kid: float


class CategoryDiversity(_Result):
    """``vendi`` and ``distance`` are ``None`` below :data:`MIN_INSTANCES`, and so is ``against``."""

    category: str
    instances: int
    vendi: float | None
    distance: float | None
    against: CategoryGap | None = None


class Gap(_Result):
    """Of ``pairs`` instances from each side, equally many of every category, taken together.

    ``fid`` is between random halves of both sides, ``fid_floor`` between the two halves of the real one: what a
    perfect set would get, since FID falls with the number of instances.
    """

    pairs: int
    fid: float
    fid_floor: float
    kid: float
    precision: float
    recall: float
    classifier: float


class Diversity(_Result):
    """What ``diversity.json`` holds. ``vendi`` and ``distance`` are of all instances together.

    ``gap`` is ``None`` without a real set and below :data:`MIN_PAIRS` pairs; ``unmatched``: categories it does not have.
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
    """The categories with instances enough for figures, the least varied first."""
    enough = [category for category in result.categories if category.distance is not None]
    return sorted(enough, key=lambda category: (category.distance or 0, category.category))


def read_diversity(folder: Path) -> Diversity | None:
    """The result kept in a run folder, if there is one; raises :class:`MosaicFusionError` when it is damaged."""
    path = folder / FILE_NAME
    try:
        return Diversity.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise MosaicFusionError(
            f"{path} is damaged ({first_line(error)}); run `mosaicfusion diversity` again"
        ) from None
