"""How far drawn instances are from real ones. Features: float (N, D), a row an instance, of both sets alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

_FOLDS = 5

Features = np.ndarray[Any, Any]


def fid(real: Features, drawn: Features) -> float:
    """Fréchet distance between Gaussians fitted to both (Heusel et al. 2017), 0 for equal sets, in squared feature units.

    Biased upward, the more the fewer instances there are (Chong and Forsyth 2020): compare equal numbers only.
    """
    real, drawn = np.asarray(real, np.float64), np.asarray(drawn, np.float64)
    a, b = _root(real), _root(drawn)
    # tr((A^T A B^T B)^(1/2)) is the sum of the singular values of A B^T: no square root of a near-singular matrix.
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    means = np.sum((real.mean(axis=0) - drawn.mean(axis=0)) ** 2)
    return max(0.0, float(means + np.sum(a**2) + np.sum(b**2) - 2 * cross))


def kid(real: Features, drawn: Features) -> float:
    """Squared maximum mean discrepancy, unbiased, of the kernel (x·y / D + 1)^3 (Bińkowski et al. 2018).

    About 0 for sets of one distribution, whatever their sizes; may be slightly negative.
    """
    real, drawn = np.asarray(real, np.float64), np.asarray(drawn, np.float64)
    within = sum(_mean_of_pairs(_kernel(side, side)) for side in (real, drawn))
    return float(within - 2 * _kernel(real, drawn).mean())


def precision_recall(real: Features, drawn: Features, k: int = 3) -> tuple[float, float]:
    """(precision, recall), each in [0, 1] (Kynkäänniemi et al. 2019).

    Precision is the part of the drawn instances that lie as near to a real one as its k-th nearest real neighbour, so
    it falls with pictures that look like nothing real; recall, the same with the sets exchanged, with missing variety.
    """
    return _covered(drawn, real, k), _covered(real, drawn, k)


def classifier_accuracy(
    real: Features, drawn: Features, real_images: Sequence[str], drawn_images: Sequence[str]
) -> float:
    """How often a linear classifier tells real from drawn on images that it has not seen; 0.5 is chance, 1 is always.

    Logistic regression, cross-validated in 5 folds that keep all instances of an image together; the mean of the
    accuracies on both sets, so that unequal numbers do not help.
    """
    folds = np.concatenate([_folds(real_images), _folds(drawn_images)])
    features = np.concatenate([real, drawn]).astype(np.float64)
    labels = np.repeat([False, True], [len(real), len(drawn)])
    guesses = np.zeros(len(labels), bool)
    for fold in range(_FOLDS):
        test = folds == fold
        guesses[test] = _fit(features[~test], labels[~test])(features[test])
    hits = guesses == labels
    return float((hits[labels].mean() + hits[~labels].mean()) / 2)


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """R with R^T R = the covariance, of min(N, D) rows."""
    centred = features - features.mean(axis=0)
    return np.asarray(np.linalg.qr(centred / np.sqrt(len(features) - 1), mode="r"))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _mean_of_pairs(kernel: NDArray[np.float64]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _covered(points: Features, manifold: Features, k: int) -> float:
    """The part of the points within the reach of any point of the manifold: the distance of its k-th neighbour."""
    within = _squared_distances(manifold, manifold)
    reach = np.partition(within, k, axis=1)[:, k]  # the nearest, at 0, is the point itself
    return float((_squared_distances(points, manifold) <= reach).any(axis=1).mean())


def _squared_distances(x: Features, y: Features) -> NDArray[np.float64]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.asarray(np.maximum(0, np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T))


def _folds(images: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each instance, by its image."""
    number = {image: i for i, image in enumerate(sorted(set(images)))}
    shuffled = np.random.default_rng(0).permutation(len(number))
    return np.array([shuffled[number[image]] % _FOLDS for image in images])


def _fit(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> Any:
    """Logistic regression with unit ridge on standardised features: a function from features (N, D) to bool (N,)."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-12
    x, sign = (features - mean) / scale, np.where(labels, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ weights[:-1] + weights[-1])
        pull = -sign * expit(-margin)
        slope = np.append(x.T @ pull + weights[:-1], pull.sum())
        return float(np.logaddexp(0, -margin).sum() + 0.5 * weights[:-1] @ weights[:-1]), slope

    weights = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return lambda unseen: (unseen - mean) / scale @ weights[:-1] + weights[-1] > 0
