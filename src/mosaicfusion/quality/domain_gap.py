"""Distances between synthetic and real instances. Features: float (N, D), one row for each instance, from the same backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

_FOLDS = 5

Features = np.ndarray[Any, Any]


def fid(real: Features, synthetic: Features) -> float:
    """Fréchet distance between Gaussians fitted to both (Heusel et al. 2017), 0 for equal sets, in squared feature units.

    Biased upward, and more so for fewer instances (Chong and Forsyth 2020): compare equal numbers only.
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    a, b = _root(real), _root(synthetic)
    # tr((A^T A B^T B)^(1/2)) is the sum of the singular values of A B^T: no square root of a near-singular matrix.
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    offset = np.sum((real.mean(axis=0) - synthetic.mean(axis=0)) ** 2)
    return max(0.0, float(offset + np.sum(a**2) + np.sum(b**2) - 2 * cross))


def kid(real: Features, synthetic: Features) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x·y / D + 1)^3 (Bińkowski et al. 2018).

    About 0 for two sets of the same distribution and any sizes; may be slightly negative.
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    within = sum(_mean_of_pairs(_kernel(side, side)) for side in (real, synthetic))
    return float(within - 2 * _kernel(real, synthetic).mean())


def precision_recall(real: Features, synthetic: Features, k: int = 3) -> tuple[float, float]:
    """(precision, recall), each in [0, 1] (Kynkäänniemi et al. 2019).

    Precision is the share of synthetic instances that are as close to a real one as its k-th nearest real neighbour: it falls
    with unrealistic images. Recall is the same with the two sets exchanged: it falls with missing variety.
    """
    return _covered(synthetic, real, k), _covered(real, synthetic, k)


def classifier_accuracy(
    real: Features, synthetic: Features, real_images: Sequence[str], synthetic_images: Sequence[str]
) -> float:
    """Accuracy of a linear classifier that separates real from synthetic instances, on unseen images; 0.5 is chance.

    Logistic regression, cross-validated in 5 folds that keep all instances of an image together. Balanced accuracy: the mean
    over both sets, so that unequal numbers do not matter.
    """
    folds = np.concatenate([_folds(real_images), _folds(synthetic_images)])
    features = np.concatenate([real, synthetic]).astype(np.float64)
    labels = np.repeat([False, True], [len(real), len(synthetic)])
    predictions = np.zeros(len(labels), bool)
    for fold in range(_FOLDS):
        test = folds == fold
        predictions[test] = _fit(features[~test], labels[~test])(features[test])
    correct = predictions == labels
    return float((correct[labels].mean() + correct[~labels].mean()) / 2)


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix R of min(N, D) rows with R^T R = the covariance."""
    centred = features - features.mean(axis=0)
    return np.asarray(np.linalg.qr(centred / np.sqrt(len(features) - 1), mode="r"))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _mean_of_pairs(kernel: NDArray[np.float64]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _covered(points: Features, manifold: Features, k: int) -> float:
    """The share of points that are closer to a point of the manifold than its k-th neighbour is, in [0, 1]."""
    within = _squared_distances(manifold, manifold)
    radii = np.partition(within, k, axis=1)[:, k]  # the nearest, at 0, is the point itself
    return float((_squared_distances(points, manifold) <= radii).any(axis=1).mean())


def _squared_distances(x: Features, y: Features) -> NDArray[np.float64]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.asarray(np.maximum(0, np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T))


def _folds(images: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each instance, chosen by its image."""
    number = {image: i for i, image in enumerate(sorted(set(images)))}
    shuffled = np.random.default_rng(0).permutation(len(number))
    return np.array([shuffled[number[image]] % _FOLDS for image in images])


def _fit(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> Any:
    """Fit a logistic regression with unit ridge on standardised features; returns a function, features (N, D) -> bool (N,)."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-12
    x, sign = (features - mean) / scale, np.where(labels, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ weights[:-1] + weights[-1])
        residual = -sign * expit(-margin)
        gradient = np.append(x.T @ residual + weights[:-1], residual.sum())
        return float(np.logaddexp(0, -margin).sum() + 0.5 * weights[:-1] @ weights[:-1]), gradient

    weights = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return lambda unseen: (unseen - mean) / scale @ weights[:-1] + weights[-1] > 0
