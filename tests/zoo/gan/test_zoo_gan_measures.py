from __future__ import annotations

import math

import numpy as np
import pytest

from warren.errors import InvalidValue
from warren.zoo.gan.measures import frechet_distance, inception_score, moments


def gaussian(mean, covariance):
    return np.array(mean, float), np.array(covariance, float)


# -- the Inception score ------------------------------------------------------------------------------------------


def test_samples_that_say_nothing_score_one():
    assert inception_score(np.full((7, 4), 0.25)) == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 10])
def test_sure_and_balanced_samples_score_the_number_of_classes(classes):
    assert inception_score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes)


def test_samples_of_one_class_score_one_however_sure():
    assert inception_score(np.tile([0.0, 1.0, 0.0], (5, 1))) == pytest.approx(1.0)


def test_the_score_of_two_samples_by_hand():
    # p(y) = (1/2, 1/2), so each sample has KL = 3/4 ln(3/2) + 1/4 ln(1/2), and exp of it is (3/2)^(3/4) (1/2)^(1/4).
    score = inception_score(np.array([[0.75, 0.25], [0.25, 0.75]]))
    assert score == pytest.approx(1.5**0.75 * 0.5**0.25)
    assert score == pytest.approx(1.13975, abs=1e-5)


def test_the_mean_is_taken_of_logarithms():
    # p(y) = (3/4, 1/4): KL of the sure sample is ln(4/3), of the other 1/2 ln(2/3) + 1/2 ln 2.
    score = inception_score(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert score == pytest.approx(math.exp((math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2))


def test_a_probability_that_is_no_number_gives_no_score():
    assert math.isnan(inception_score(np.array([[math.nan, 0.5], [0.5, 0.5]])))


# -- the distance -------------------------------------------------------------------------------------------------


def test_equal_covariances_leave_the_means():
    covariance = [[2.0, 0.6], [0.6, 1.0]]
    distance = frechet_distance(gaussian([1, 2], covariance), gaussian([4, -2], covariance))
    assert distance == pytest.approx(3**2 + 4**2)


def test_diagonal_covariances_leave_differences_of_deviations():
    # tr(A + B - 2 sqrt(AB)) of diagonals is the sum of (sqrt a - sqrt b)^2 = (2 - 1)^2 + (3 - 5)^2.
    a, b = gaussian([0, 0], np.diag([4.0, 9.0])), gaussian([0, 0], np.diag([1.0, 25.0]))
    assert frechet_distance(a, b) == pytest.approx(5.0)


def test_covariances_that_do_not_commute_by_hand():
    # AB = [[2, 4], [1, 8]]: trace 10, determinant 12. The root of a 2 x 2 matrix M has the trace
    # sqrt(tr M + 2 sqrt(det M)), so the distance is tr A + tr B - 2 sqrt(10 + 2 sqrt 12).
    a, b = gaussian([0, 0], [[2, 1], [1, 2]]), gaussian([0, 0], [[1, 0], [0, 4]])
    expected = 9 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


def test_a_singular_covariance_has_a_root():
    # Eigenvalues 2 and 0; with the identity the product's root has the trace sqrt 2.
    a, b = gaussian([0, 0], [[1, 1], [1, 1]]), gaussian([0, 0], np.eye(2))
    assert frechet_distance(a, b) == pytest.approx(4 - 2 * math.sqrt(2))


def test_the_distance_agrees_with_scipys_root():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    a, b = (moments(rng.normal(size=(50, 20)) @ rng.normal(size=(20, 20))) for _ in range(2))
    expected = np.sum((a[0] - b[0]) ** 2) + np.trace(a[1] + b[1] - 2 * linalg.sqrtm(a[1] @ b[1]).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_fewer_samples_than_features_do_not_give_a_complex_root():
    rng = np.random.default_rng(0)
    a, b = (moments(rng.normal(size=(5, 40))) for _ in range(2))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(a, b) > 1.0


def test_what_is_not_finite_has_no_distance():
    real = gaussian([0, 0], np.eye(2))
    assert math.isnan(frechet_distance(gaussian([math.nan, 0], np.eye(2)), real))
    assert math.isnan(frechet_distance(real, gaussian([0, 0], [[math.inf, 0], [0, 1]])))


def test_moments_by_hand():
    mean, covariance = moments(np.array([[0.0, 1.0], [2.0, 5.0]]))
    assert mean.tolist() == [1.0, 3.0]
    assert covariance.tolist() == [[2.0, 4.0], [4.0, 8.0]]  # sums of products of (-1, -2) and (1, 2), over 2 - 1
    with pytest.raises(InvalidValue, match="at least 2 samples, but got 1"):
        moments(np.zeros((1, 3)))
