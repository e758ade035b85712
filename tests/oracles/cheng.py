"""Report 001 (Cheng): losses (1) and (2), algorithms 1 and 2, and its code where it differs."""

import numpy as np
from equation import equation
from given import (
    Weights,
    away_from_zero,
    bits,
    case,
    descended,
    gradients,
    numbers,
    optimized,
    penalty_gradient,
    probabilities,
    pulled,
    rates,
    slope,
)
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import functional, nn, optim

STEP = case(("D", away_from_zero()), rates)

# ---- the chain rule, and descent -----------------------------------------------------------------

LAYER = case("N D", "D H", "H", "N H")


def _layer(x, W, b):
    return functional.tanh(functional.linear(x, W, b))


@equation(
    "001", "Alg. 1, lines 2 to 7, parameters",
    says=r"\frac{\partial L}{\partial \theta_k} = "
    r"\frac{\partial L}{\partial x_{k+1}} \frac{\partial x_{k+1}}{\partial \theta_k}",
    of="functional.linear, functional.tanh", given=LAYER,
    library=lambda x, W, b, dL: pulled(_layer, x, W, b, by=dL)[1:],
)  # fmt: skip
def chain_rule_parameters(x, W, b, dL):
    delta = dL * (1 - np.tanh(x @ W + b) ** 2)
    return x.T @ delta, delta.sum(axis=0)


@equation(
    "001", "Alg. 1, lines 2 to 7, inputs",
    says=r"\frac{\partial L}{\partial x_k} = "
    r"\frac{\partial L}{\partial x_{k+1}} \frac{\partial x_{k+1}}{\partial x_k}",
    of="functional.linear, functional.tanh", given=LAYER,
    library=lambda x, W, b, dL: pulled(_layer, x, W, b, by=dL)[0],
)  # fmt: skip
def chain_rule_inputs(x, W, b, dL):
    return (dL * (1 - np.tanh(x @ W + b) ** 2)) @ W.T


def _fourth_power(w):
    return np.sum(w**4)


@equation(
    "001", "\u201cNewton\u2019s iteration\u201d",
    says=r"\theta \leftarrow \theta - \eta \frac{\partial L}{\partial \theta}",
    of="hessian, grad", given=STEP,
    # of a sum of fourth powers the matrix of second derivatives is diagonal
    library=lambda w, lr: w
    - np.linalg.solve(tg.hessian(_fourth_power)(w), slope(_fourth_power, w)),
    right=False, errata="C1",
    why="That is gradient descent (here of $`w^4`$); Newton's has second derivatives, no rate.",
)  # fmt: skip
def newton_as_named(w, lr):
    return w - lr * 4 * w**3


@newton_as_named.corrected(
    r"\theta \leftarrow \theta - \left( \frac{\partial^2 L}{\partial \theta^2} \right)^{-1} "
    r"\frac{\partial L}{\partial \theta}"
)
def newton(w, lr):
    return w - 4 * w**3 / (12 * w**2)


newton_as_named.example(np.array([1.0]), 0.1, printed=[0.6], true=[0.6667], rounded=5e-5)


@equation(
    "001", "Alg. 1, line 9", of="optim.SGD", given=STEP,
    says=r"\theta_k \leftarrow \theta_k - \eta \frac{\partial L}{\partial \theta_k}",
    library=lambda w, lr: descended(_fourth_power, w, lr=lr)[0],
)  # fmt: skip
def descent(w, lr):
    return w - lr * 4 * w**3


@equation(
    "001", "Alg. 2", of="optim.SGD", given=case("D", gradients, rates),
    says=r"\theta \leftarrow \theta - \eta \frac{\partial L}{\partial \theta} "
    r"\text{ for each batch in turn}",
    library=lambda w, dw, lr: optimized(optim.SGD, w, dw, lr=lr)[0],
)  # fmt: skip
def descent_by_batches(w, dw, lr):
    for dw_t in dw:
        w = w - lr * dw_t
    return w


# ---- losses --------------------------------------------------------------------------------------

SQUARED = case("N H", "N H")
BINARY = case(("N H", bits), ("N H", probabilities))


def _binary_per_example(y, y_hat):
    return functional.binary_cross_entropy(y_hat, y, "sum") / len(y)


@equation(
    "001", "(1)", says=r"L_{\text{MSE}} = \frac{1}{2N} \sum_{i=0}^t (y_j - y'_j)^2",
    of="functional.mse_loss", given=SQUARED,
    library=lambda y, y_: functional.mse_loss(y_, y, "half_per_example"),
    right=False, errata="C2",
    why="The summand has j where the sum has i, which makes t + 1 equal terms (here for each "
    "output, and added up); the sum over the examples is missing.",
)  # fmt: skip
def mse(y, y_):
    terms = sum((y - y_) ** 2 for i in range(y.shape[1] + 1))
    return 1 / (2 * len(y)) * np.sum(terms)


@mse.corrected(r"L_{\text{MSE}} = \frac{1}{2N} \sum_{n=1}^N \sum_{j=1}^t (y_{nj} - y'_{nj})^2")
def mse_corrected(y, y_):
    return 1 / (2 * len(y)) * np.sum((y - y_) ** 2)


@equation(
    "001", "(1), code of the gradient", of="functional.mse_loss", given=SQUARED,
    says=r"\frac{\partial L}{\partial y'} = y' - y",
    library=lambda y, y_: slope(lambda p: functional.mse_loss(p, y, "half_per_example"), y_),
    right=False, errata="C2", why="N times too large: the loss has a mean, its gradient a sum.",
)  # fmt: skip
def mse_gradient(y, y_):
    return y_ - y


@mse_gradient.corrected(r"\frac{\partial L}{\partial y'} = \frac{y' - y}{N}")
def mse_gradient_corrected(y, y_):
    return (y_ - y) / len(y)


mse_gradient.example(
    np.zeros((2, 2)), np.array([[-0.1, 0.2], [0.3, -0.4]]),
    printed=[[-0.1, 0.2], [0.3, -0.4]], true=[[-0.05, 0.1], [0.15, -0.2]], rounded=1e-9,
)  # fmt: skip


@equation(
    "001", "(2)",
    says=r"L_{\text{BCE}} = -\frac{1}{N} \sum_{i=0}^t y_j \log y'_j + (1 - y_j) \log(1 - y'_j)",
    of="functional.binary_cross_entropy", given=BINARY, library=_binary_per_example,
    right=False, errata="C3", why="As in (1): t + 1 equal terms, and no sum over the examples.",
)  # fmt: skip
def bce(y, y_):
    terms = sum(y * np.log(y_) + (1 - y) * np.log(1 - y_) for i in range(y.shape[1] + 1))
    return -1 / len(y) * np.sum(terms)


@bce.corrected(
    r"L_{\text{BCE}} = -\frac{1}{N} \sum_{n=1}^N \sum_{j=1}^t "
    r"\left[ y_{nj} \log y'_{nj} + (1 - y_{nj}) \log(1 - y'_{nj}) \right]"
)
def bce_corrected(y, y_):
    return -1 / len(y) * np.sum(y * np.log(y_) + (1 - y) * np.log(1 - y_))


@equation(
    "001", "(2), code of the gradient", of="functional.binary_cross_entropy", given=BINARY,
    says=r"\frac{\partial L}{\partial y'} = \frac{y' - y}{y' (1 + 10^{-5} - y')}",
    library=lambda y, y_: slope(lambda p: _binary_per_example(y, p), y_),
    right=False, errata="C3", why="N times too large, as for (1).",
)  # fmt: skip
def bce_gradient(y, y_):
    return (y_ - y) / (y_ * (1 + 1e-5 - y_))


@bce_gradient.corrected(r"\frac{\partial L}{\partial y'} = \frac{y' - y}{N y' (1 - y')}")
def bce_gradient_corrected(y, y_):
    return (y_ - y) / (len(y) * y_ * (1 - y_))


bce_gradient.example(
    np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.9, 0.2], [0.3, 0.6]]),
    true=[[-0.5556, 0.625], [0.7143, -0.8333]], rounded=5e-5,
)  # fmt: skip


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


@equation(
    "001", "code, slope of the sigmoid", says=r"x = \sigma(a), \quad dx = \sigma'(x)\, dx'",
    of="functional.sigmoid", given=case("H"),
    library=lambda a: pulled(functional.sigmoid, a, by=np.ones_like(a))[0],
    right=False, errata="C4", why="The derivative is taken at the stored output, not at the input.",
)  # fmt: skip
def sigmoid_slope(a):
    output = _sigmoid(a)
    return _sigmoid(output) * (1 - _sigmoid(output))


@sigmoid_slope.corrected(r"x = \sigma(a), \quad dx = \sigma'(a)\, dx' = x (1 - x)\, dx'")
def sigmoid_slope_corrected(a):
    return _sigmoid(a) * (1 - _sigmoid(a))


sigmoid_slope.example(np.array([6.0]), printed=[0.196836], true=[0.002467], rounded=5e-7)
sigmoid_slope.example(np.array([-6.0]), printed=[101 * 0.002467], rounded=1e-3)


@equation(
    "001", "code, (2) through the sigmoid", of="functional.binary_cross_entropy_with_logits",
    says=r"\frac{\partial L}{\partial a} = \frac{y' - y}{y' (1 + 10^{-5} - y')} \sigma'(y'), "
    r"\quad y' = \sigma(a)",
    given=case(("H", bits), "H"),
    library=lambda y, a: slope(
        lambda z: functional.binary_cross_entropy_with_logits(z, y, reduction="sum"), a
    ),
    right=False, errata="C4", why="With the derivative in the wrong place nothing cancels.",
)  # fmt: skip
def bce_through_sigmoid(y, a):
    y_ = _sigmoid(a)
    return (y_ - y) / (y_ * (1 + 1e-5 - y_)) * _sigmoid(y_) * (1 - _sigmoid(y_))


@bce_through_sigmoid.corrected(r"\frac{\partial L}{\partial a} = y' - y")
def bce_through_sigmoid_corrected(y, a):
    return _sigmoid(a) - y


bce_through_sigmoid.example(
    np.array([1.0]), np.array([-12.0]), printed=[-4.07e4], true=[-1.0], rounded=50
)

# ---- penalties and biases ------------------------------------------------------------------------

DECAY = case(("D H", numbers()), rates, rates)


@equation(
    "001", "Alg. 1, line 8", of="nn.L2Penalty", given=DECAY,
    says=r"\frac{\partial L}{\partial \theta} \mathrel{+}= "
    r"\lambda \frac{\partial \lVert \theta \rVert^2}{\partial \theta}",
    library=lambda W, lam, lr: W - lr * penalty_gradient(nn.L2Penalty(lam), W),
)  # fmt: skip
def decay(W, lam, lr):
    return W - lr * lam * 2 * W


decay.example(np.array([[0.5]]), 1e-2, 3e-2, printed=[[0.4997]], rounded=1e-9)


@equation(
    "001", "code, the penalty in the loss", of="nn.L2Penalty", given=DECAY,
    says=r"L \mathrel{+}= \frac{\lambda}{2} \lVert W \rVert^2",
    library=lambda W, lam, lr: W - lr * penalty_gradient(nn.L2Penalty(lam, half=True), W),
    why="Half of what line 8 of the algorithm has.",
)  # fmt: skip
def decay_logged(W, lam, lr):
    return W - lr * lam * W


decay_logged.example(np.array([[0.5]]), 1e-2, 3e-2, printed=[[0.49985]], rounded=1e-9)


@equation(
    "001", "code, the penalty in the update", of="nn.L2Penalty", given=DECAY,
    says=r"W \leftarrow W - \lambda W",
    library=lambda W, lam, lr: W - lr * penalty_gradient(nn.L2Penalty(lam), W),
    right=False, errata="C8", why="Not multiplied by the learning rate, and by no 2.",
)  # fmt: skip
def decay_coded(W, lam, lr):
    return W - lam * W


@decay_coded.corrected(r"W \leftarrow W - 2 \eta \lambda W")
def decay_coded_corrected(W, lam, lr):
    return W - 2 * lr * lam * W


decay_coded.example(np.array([[0.5]]), 1e-2, 3e-2, printed=[[0.495]], true=[[0.4997]], rounded=1e-9)


@equation(
    "001", "code, biases", says=r"b \leftarrow b", of="functional.linear, optim.SGD",
    given=case("N D", "D H", "H", rates),
    library=lambda x, W, b, lr: descended(
        lambda bias: 0.5 * np.sum(functional.linear(x, W, bias) ** 2), b, lr=lr
    )[0],
    right=False, errata="C6", why="They are parameters, but never learn (here of half a square).",
)  # fmt: skip
def biases_left(x, W, b, lr):
    return b


@biases_left.corrected(r"b \leftarrow b - \eta \frac{\partial L}{\partial b}")
def biases_learned(x, W, b, lr):
    return b - lr * np.sum(x @ W + b, axis=0)


def _bias_after_penalty(W, b, lam, lr):
    model = Weights(W, b)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    nn.L2Penalty(lam)(model).backward()
    optimizer.step()
    return model.bias.data.copy()


@equation(
    "001", "code, decay of biases", says=r"b \leftarrow b - \lambda_W b", of="nn.L2Penalty",
    given=case("D H", "H", rates, st.just(0.1)), library=_bias_after_penalty,
    right=False, errata="C7",
    why="The report leaves biases out of the penalty, its code does not.",
)  # fmt: skip
def biases_decayed(W, b, lam, lr):
    return b - lam * b


@biases_decayed.corrected(r"b \leftarrow b")
def biases_not_decayed(W, b, lam, lr):
    return b
