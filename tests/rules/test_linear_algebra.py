"""Linear algebra beyond the matrix of cases: singular, symmetric, equal values, named results."""

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor

SPD = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_determinants_gradient_is_right_at_singular_matrices(rank):
    rng = np.random.default_rng(rank)
    a = rng.normal(size=(3, rank)) @ rng.normal(size=(rank, 3))
    expected = np.array(
        [
            [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)]
            for i in range(3)
        ]
    )
    np.testing.assert_allclose(tg.grad(np.linalg.det)(a), expected, atol=1e-14)


def test_of_symmetric_matrices_the_gradient_is_symmetric():
    for f in (
        lambda a: np.sum(np.log(np.diagonal(np.linalg.cholesky(a)))) * 2,
        lambda a: np.sum(np.log(np.linalg.eigvalsh(a))),
        lambda a: np.linalg.slogdet(a)[1],
    ):
        np.testing.assert_allclose(tg.grad(f)(SPD), np.linalg.inv(SPD), rtol=1e-12)


def test_results_have_numpys_names():
    a = Tensor(SPD, requires_grad=True)
    assert np.linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert np.linalg.svd(a)._fields == ("U", "S", "Vh")
    assert np.linalg.qr(a)._fields == ("Q", "R")
    assert np.linalg.slogdet(a)._fields == ("sign", "logabsdet")
    np.testing.assert_array_equal(np.linalg.svd(a).S.data, np.linalg.svd(SPD).S)


def test_equal_eigenvalues_do_no_harm_to_a_function_of_the_values():
    squares = tg.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))
    np.testing.assert_allclose(squares(np.eye(3)), 2 * np.eye(3))
    nuclear = tg.grad(lambda a: np.linalg.norm(a, "nuc"))
    np.testing.assert_allclose(nuclear(np.eye(3)), np.eye(3))


def test_equal_eigenvalues_make_a_gradient_of_the_vectors_infinite():
    of_vectors = tg.grad(lambda a: np.sum(np.linalg.eigh(a)[1] @ np.arange(3.0)))
    with np.errstate(all="ignore"):
        assert not np.isfinite(of_vectors(np.eye(3))).all()


def test_a_singular_system_is_an_error_of_numpys():
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        np.linalg.solve(Tensor(np.zeros((2, 2)), requires_grad=True), np.ones(2))


def test_parts_of_a_decomposition_used_twice_add_up():
    """Second order picks the same result again, beside the one the user picked."""

    def f(a):
        values, vectors = np.linalg.eigh(a + a.T)
        return np.sum(values**2 * vectors[0]) + np.sum(np.exp(values / 9))

    a = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, 4.0]])
    v = np.arange(9.0).reshape(3, 3)
    step = 1e-5
    numeric = (tg.grad(f)(a + step * v) - tg.grad(f)(a - step * v)) / (2 * step)
    np.testing.assert_allclose(tg.hvp(f, a, v), numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_gaussians_likelihood_by_cholesky_equals_the_textbooks(n):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    covariance, x = root @ root.T + np.eye(n), rng.normal(size=n)

    def by_cholesky(c):
        lower = np.linalg.cholesky(c)
        z = np.linalg.solve(lower, x)
        return -z @ z / 2 - np.sum(np.log(np.diagonal(lower)))

    inverse = np.linalg.inv(covariance)
    textbook = (np.outer(inverse @ x, inverse @ x) - inverse) / 2
    np.testing.assert_allclose(tg.grad(by_cholesky)(covariance), textbook, rtol=1e-9, atol=1e-12)


def test_methods_in_place_are_recorded():
    x = Tensor([3.0, 1.0, 2.0], requires_grad=True)
    y = x * 1
    y.sort()
    np.fill_diagonal(z := np.outer(y, y), 0.0)
    z[0, 1].backward()
    np.testing.assert_array_equal(x.grad.data, [0, 2, 1])
