"""Report 002 (Dewangan): numerical gradients (1), the first delta, momentum and the L2 penalty."""

import numpy as np
from equation import equation
from given import (
    case,
    gradients,
    one_hot,
    optimized,
    penalty_gradient,
    rates,
    shares,
    slope,
    target_rows,
)

from tinygrad_fm import functional, nn, optim

EPSILON = 1e-2
# |E'''| by an output bias is y (1 - y) |1 - 2 y|, nowhere above 1 / (6 sqrt 3)
BOUND = EPSILON**2 / 6 / (6 * np.sqrt(3))


def _softmax(a):
    return np.exp(a) / np.sum(np.exp(a), axis=1, keepdims=True)


def _error(a, t):
    return -np.sum(t * np.log(_softmax(a)))


def _central(a, t):
    """(1) for the bias of each output, which moves one column of the pre-activations."""
    steps = EPSILON * np.eye(a.shape[1])
    return np.array([(_error(a + s, t) - _error(a - s, t)) / (2 * EPSILON) for s in steps])


def _one_hot_row(draw, size):
    return one_hot(draw, lambda name: 1 if name == "N" else size(name))


def _by_bias(a, t):
    return slope(lambda z: functional.cross_entropy(z, t, reduction="sum"), a).sum(axis=0)


EXAMPLES = case("N C", one_hot)


@equation(
    "002", "(1)",
    says=r"\frac{\partial E}{\partial w} \approx "
    r"\frac{E(w + \epsilon) - E(w - \epsilon)}{2 \epsilon}, \quad \epsilon = 10^{-2}",
    of="functional.cross_entropy", given=case("1 C", _one_hot_row), library=_by_bias,
    within=BOUND + 1e-12,
    why="By an output bias, for one example: within "
    r"$`\frac{\epsilon^2}{6} \cdot \frac{1}{6 \sqrt 3}`$, 1.6e-6.",
)  # fmt: skip
def numerical_gradient(a, t):
    return _central(a, t)


@equation(
    "002", "Figure 3", of="functional.cross_entropy", given=EXAMPLES,
    says=r"\left\lvert \frac{E(w + \epsilon) - E(w - \epsilon)}{2 \epsilon} - "
    r"\frac{\partial E}{\partial w} \right\rvert \approx 10^{-4} = \epsilon^2",
    library=lambda a, t: np.max(np.abs(_central(a, t) - _by_bias(a, t))) > 1e-4,
    right=False, errata="D3",
    why="Right gradients are far closer: the differences that it prints, 4.49e-4 for an output "
    "bias, are 28 times what 10 examples allow. 1 stands for a difference above 1e-4.",
)  # fmt: skip
def numerical_gradient_as_said(a, t):
    return True


@numerical_gradient_as_said.corrected(
    r"\left\lvert \ldots \right\rvert \le N \frac{\epsilon^2}{6} \cdot \frac{1}{6 \sqrt 3} "
    r"= N \cdot 1.6 \cdot 10^{-6}",
    library=lambda a, t: np.max(np.abs(_central(a, t) - _by_bias(a, t))) <= len(a) * BOUND + 1e-12,
)
def numerical_gradient_bounded(a, t):
    return True


@equation(
    "002", "text, first delta", says=r"\delta_k = \frac{t_k - y_k}{N C}",
    of="functional.cross_entropy", given=case("N C", target_rows),
    library=lambda a, t: -slope(
        lambda z: functional.cross_entropy(z, t, "examples_and_classes"), a
    ),
    why="Minus the derivative of a loss that is divided by the number of classes as well.",
)  # fmt: skip
def first_delta(a, t):
    return (t - _softmax(a)) / a.size


@equation(
    "002", "momentum", says=r"v = \gamma v + g, \quad W = W - \eta v", of="optim.SGD",
    given=case("D", gradients, rates, shares),
    library=lambda W, g, lr, gamma: optimized(optim.SGD, W, g, lr=lr, momentum=gamma)[0],
    why="Named in the report, not printed; in the form of the assignment that it follows.",
)  # fmt: skip
def momentum(W, g, lr, gamma):
    v = np.zeros_like(W)
    for g_t in g:
        v = gamma * v + g_t
        W = W - lr * v
    return W


# the same 200 gradients move the average of report 004 by a tenth of it
momentum.example(np.zeros(1), np.ones((200, 1)), 0.05, 0.9, printed=[-95.5], rounded=0.05)


@equation(
    "002", "text, L2", of="nn.L2Penalty", given=case("D H", rates),
    says=r"\frac{\partial}{\partial W} \lambda \lVert W \rVert^2 = 2 \lambda \cdot 2 W",
    library=lambda W, lam: penalty_gradient(nn.L2Penalty(lam), W),
    right=False, errata="D2", why="\u201c2W weighted by 2\u03bb\u201d counts the 2 twice.",
)  # fmt: skip
def penalty(W, lam):
    return 2 * lam * 2 * W


@penalty.corrected(r"\frac{\partial}{\partial W} \lambda \lVert W \rVert^2 = 2 \lambda W")
def penalty_corrected(W, lam):
    return 2 * lam * W


penalty.example(np.array([[0.5]]), 0.01, printed=[[0.02]], true=[[0.01]], rounded=1e-12)
