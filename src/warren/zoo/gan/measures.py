"""How good samples are: the Inception score that selection goes by, and the distance that it never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidValue

if TYPE_CHECKING:
    from numpy.typing import NDArray


def inception_score(probabilities: NDArray[np.float64]) -> float:
    """``exp(mean over x of KL(p(y|x) || p(y)))`` (Salimans et al. 2016, section 4), p(y) the mean over the samples.

    High where a classifier is sure of each sample and all classes come alike often. All samples are taken at once:
    splits, as often used, only add an error bar, and pull the mean down.

    Args:
        probabilities: A classifier's, for each sample; shape (n, classes), rows that sum to 1.

    Returns:
        From 1 to the number of classes; NaN where a probability is not finite.
    """
    marginal = probabilities.mean(axis=0)
    # A class of probability 0 adds nothing: x log x goes to 0. The ratio is 0 / 0 only where the marginal is 0 too.
    ratio = np.divide(probabilities, marginal, out=np.ones_like(probabilities), where=probabilities != 0)
    return float(np.exp((probabilities * np.log(ratio)).sum(axis=1).mean()))


def moments(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of features.

    Args:
        features: Shape (n, d), n at least 2.

    Returns:
        The mean, shape (d,), and the covariance with n - 1, shape (d, d).
    """
    if len(features) < 2:
        raise InvalidValue(f"moments: a covariance needs at least 2 samples, but got {len(features)}")
    return features.mean(axis=0), np.cov(features, rowvar=False).reshape(features.shape[1], -1)


def frechet_distance(
    a: tuple[NDArray[np.float64], NDArray[np.float64]], b: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """``|m - n|^2 + tr(A + B - 2 (A B)^(1/2))`` between two Gaussians (Dowson and Landau 1982; Heusel et al. 2017).

    The product A B is not symmetric, and its root may come out complex. ``A^(1/2) B A^(1/2)`` is symmetric and has the
    same eigenvalues, so the trace of the root is the sum of their square roots: two symmetric eigendecompositions in
    float64, which exist for singular matrices as well; eigenvalues that rounding makes negative are taken for 0.

    Args:
        a: Mean, shape (d,), and covariance, shape (d, d).
        b: The same of the other one.

    Returns:
        At least 0; NaN where a number is not finite.
    """
    (m, first), (n, second) = a, b
    numbers = np.concatenate([m, n, first.ravel(), second.ravel()])
    if not np.isfinite(numbers).all():
        return float("nan")
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = root @ second @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2).clip(min=0.0)
    distance = np.sum((m - n) ** 2) + np.trace(first) + np.trace(second) - 2 * np.sqrt(eigenvalues).sum()
    return float(max(distance, 0.0))
