"""Report 003 (Korssjoen): leaky ReLU (1), cross-entropy (2), its penalty (3), and what it says."""

from statistics import NormalDist

import numpy as np
from equation import equation
from given import (
    Weights,
    away_from_zero,
    case,
    gradients,
    labels,
    numbers,
    optimized,
    pulled,
    rates,
    slope,
)
from hypothesis import strategies as st

from tinygrad_fm import functional, nn, optim

SLOPES = st.integers(1, 9).map(lambda n: n / 10)


@equation(
    "003", "(1)", says=r"\sigma(x) = \max\{\alpha x, x\}, \quad 0 < \alpha < 1",
    of="functional.leaky_relu", given=case("N H", SLOPES),
    library=functional.leaky_relu,
)  # fmt: skip
def leaky_relu(x, alpha):
    return np.maximum(alpha * x, x)


@equation(
    "003", "(1), derivative", of="nn.LeakyReLU",
    says=r"\sigma'(x) = \alpha \text{ where } \alpha x > x, \text{ else } 1",
    given=case(("N H", away_from_zero()), "N H", SLOPES),
    library=lambda x, g, alpha: pulled(nn.LeakyReLU(alpha), x, by=g)[0],
    why="Not printed: what (1) implies.",
)  # fmt: skip
def leaky_relu_backward(x, g, alpha):
    return g * np.where(alpha * x > x, alpha, 1)


def _probabilities(logits):
    e = np.exp(logits)
    return e / e.sum(axis=1, keepdims=True)


@equation(
    "003", "(2)", says=r"L = -\frac{1}{N} \sum_{j=1}^N \ln p_j",
    of="nn.CrossEntropyLoss", given=case("N C", labels),
    library=nn.CrossEntropyLoss(), why="p_j is the probability of the class that j belongs to.",
)  # fmt: skip
def cross_entropy(logits, k):
    p = _probabilities(logits)[np.arange(len(k)), k]
    return -1 / len(k) * np.sum(np.log(p))


def _with_penalty(x, W, k, strength):
    model = Weights(W)
    loss = nn.CrossEntropyLoss()(x @ model.weight, k) + nn.L2Penalty(strength)(model)
    loss.backward()
    return loss.data, model.weight.grad.data


@equation(
    "003", "(3)", says=r"L = -\frac{1}{N} \sum_{j=1}^N \ln p_j + \lambda \lVert w \rVert_2^2",
    of="nn.L2Penalty, nn.CrossEntropyLoss",
    given=case("N D", "D C", labels, rates), library=_with_penalty,
    why="Held in its value and in its gradient, with w the weights and not the biases.",
)  # fmt: skip
def cross_entropy_with_penalty(x, W, k, strength):
    p = _probabilities(x @ W)
    loss = cross_entropy(x @ W, k) + strength * np.sum(W**2)
    p[np.arange(len(k)), k] -= 1
    return loss, x.T @ p / len(k) + 2 * strength * W


# ---- backpropagation -----------------------------------------------------------------------------

NUMBER = st.integers(-3, 3).map(float)


@equation(
    "003", "text, backpropagation", of="grad",
    says=r"W_2' = W_2 - \eta \frac{\partial L}{\partial W_2}, \quad "
    r"\frac{\partial L}{\partial W_1} = (y - t) W_2' x",
    given=st.tuples(NUMBER, NUMBER, NUMBER, NUMBER, rates),
    library=lambda w1, w2, x, t, lr: slope(lambda w: 0.5 * (w2 * (w * x) - t) ** 2, w1),
    right=False, errata="K8",
    why="\u201cUpdate the last layer first, then use those values\u201d: all gradients are taken "
    "at the old weights (here of $`(W_2 W_1 x - t)^2 / 2`$).",
)  # fmt: skip
def updated_weights_first(w1, w2, x, t, lr):
    error = w2 * w1 * x - t
    w2 = w2 - lr * error * w1 * x
    return error * w2 * x


@updated_weights_first.corrected(r"\frac{\partial L}{\partial W_1} = (y - t) W_2 x")
def old_weights(w1, w2, x, t, lr):
    return (w2 * w1 * x - t) * w2 * x


updated_weights_first.example(2.0, 3.0, 1.0, 0.0, 0.1, printed=10.8, true=18, rounded=1e-9)


# ---- convexity -----------------------------------------------------------------------------------

NOT_NEGATIVE = st.integers(0, 3).map(float)


def _loss(logit):
    return functional.binary_cross_entropy_with_logits(logit, np.ones_like(logit)).item()


def _loss_of_net(weights):
    u, v = weights
    return _loss(np.array([v * np.tanh(u)]))


@equation(
    "003", "text, the logarithm", of="functional.binary_cross_entropy_with_logits",
    says=r"L\left( \frac{w + w'}{2} \right) \le \frac{L(w) + L(w')}{2}",
    given=case(("2", NOT_NEGATIVE), ("2", NOT_NEGATIVE)),
    library=lambda w, w_: _loss_of_net((w + w_) / 2),
    right=False, errata="K9",
    why="\u201cWe take the log to make sure our function will be convex\u201d: not in the weights "
    r"(here $`L = -\ln \sigma(v \tanh u)`$, $`w = (u, v)`$; printed is the most that the middle "
    "may have).",
)  # fmt: skip
def convex_in_weights(w, w_):
    return min(_loss_of_net((w + w_) / 2), (_loss_of_net(w) + _loss_of_net(w_)) / 2)


@convex_in_weights.corrected(
    r"L\left( \frac{z + z'}{2} \right) \le \frac{L(z) + L(z')}{2} \text{ in the logits } z",
    given=case("H", "H"),
    library=lambda z, z_: _loss((z + z_) / 2),
)
def convex_in_logits(z, z_):
    return min(_loss((z + z_) / 2), (_loss(z) + _loss(z_)) / 2)


convex_in_weights.example(
    np.array([2.0, 2.0]), np.array([-2.0, -2.0]), printed=0.1358, true=0.6931, rounded=5e-5
)


# ---- batch normalisation -------------------------------------------------------------------------

EPS = 1e-3  # Keras's


def _moments(x):
    """Mean, variance, skewness and excess kurtosis."""
    centred = x - x.mean()
    variance = np.mean(centred**2)
    return (
        x.mean(),
        variance,
        np.mean(centred**3) / variance**1.5,
        np.mean(centred**4) / variance**2 - 3,
    )


def _normalised(x):
    return nn.BatchNorm1d(1, eps=EPS, dtype=np.float64)(x[:, None]).data.ravel()


BATCH = case(("N", numbers()), least=2, most=9).filter(lambda c: np.ptp(c[0]) > 0.5)


@equation(
    "003", "text, batch normalization", of="nn.BatchNorm1d",
    says=r"\text{BN}(x) \sim \mathcal N(0, 1)",
    given=BATCH, library=lambda x: _moments(_normalised(x)),
    right=False, errata="K10",
    why="Mean and variance become 0 and 1, but the form stays; compared are mean, variance, "
    "skewness and excess kurtosis.",
)  # fmt: skip
def normal_after_batch_norm(x):
    return 0, 1, 0, 0


@normal_after_batch_norm.corrected(
    r"\operatorname{E} \text{BN}(x) = 0, \quad "
    r"\operatorname{Var} \text{BN}(x) = "
    r"\frac{\operatorname{Var} x}{\operatorname{Var} x + \epsilon}",
    library=lambda x: _moments(_normalised(x))[:2],
)
def standard_after_batch_norm(x):
    return 0, np.var(x) / (np.var(x) + EPS)


_NORMAL = NormalDist()
_SPREAD = np.array([_NORMAL.inv_cdf((i + 0.5) / 50_000) for i in range(50_000)])
# the errata drew a sample, whose kurtosis is good to a hundredth
normal_after_batch_norm.example(
    leaky_relu(_SPREAD, 0.1), printed=[0, 1, 0, 0], true=[0, 1, 1.50, 1.91], rounded=1e-2
)


# ---- Adam ----------------------------------------------------------------------------------------


def _steep(draw, size):
    found = gradients(draw, size)
    return np.where(np.abs(found) < 0.01, 1.0, found)


def _adam(w, g, lr, second_moment):
    m = v = 0
    for t, g_t in enumerate(g, start=1):
        m = 0.9 * m + 0.1 * g_t
        v = 0.999 * v + 0.001 * g_t**2
        mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)
        w = w - lr * mean / (np.sqrt(second_moment(mean, square)) + 1e-7)
    return w


@equation(
    "003", "text, Adam", says=r"\text{the mean and variance of the gradient}", of="optim.Adam",
    given=case("D", _steep, rates),
    library=lambda w, g, lr: optimized(optim.Adam, w, g, lr=lr, eps=1e-7)[0],
    right=False, errata="K11",
    why="The second number is the mean of the squares, from which no mean is taken off.",
)  # fmt: skip
def adam_by_variance(w, g, lr):
    return _adam(w, g, lr, lambda mean, square: np.maximum(square - mean**2, 0))


@adam_by_variance.corrected(r"\text{the means of the gradient and of its square}")
def adam_by_second_moment(w, g, lr):
    return _adam(w, g, lr, lambda mean, square: square)
