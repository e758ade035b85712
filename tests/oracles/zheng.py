"""Report 000 (Zheng): layers, activations, losses, update rules (3.1.1 to 4.1.3), and code."""

import numpy as np
from equation import equation
from given import (
    away_from_zero,
    bits,
    case,
    gradients,
    labels,
    numbers,
    one_hot,
    optimized,
    penalty_gradient,
    probabilities,
    pulled,
    rates,
    shares,
    slope,
)
from hypothesis import strategies as st

from tinygrad_fm import functional, nn, optim

# ---- 3.1, the linear layer -----------------------------------------------------------------------

LINEAR = case("N D", "D H", "H", "N H")


@equation(
    "000", "3.1.1", says=r"Y = XW + b", of="functional.linear",
    given=case("N D", "D H", "H"), library=functional.linear,
)  # fmt: skip
def linear(X, W, b):
    return X @ W + b


@equation(
    "000", "3.1.2", says=r"dX = dY \cdot W^\top", of="functional.linear", given=LINEAR,
    library=lambda X, W, b, dY: pulled(functional.linear, X, W, b, by=dY)[0],
)  # fmt: skip
def linear_dx(X, W, b, dY):
    return dY @ W.T


@equation(
    "000", "3.1.3", says=r"dW = X^\top \cdot dY", of="functional.linear", given=LINEAR,
    library=lambda X, W, b, dY: pulled(functional.linear, X, W, b, by=dY)[1],
)  # fmt: skip
def linear_dw(X, W, b, dY):
    return X.T @ dY


@equation(
    "000", "3.1, bias", says=r"db = \sum_n dY_n", of="functional.linear", given=LINEAR,
    library=lambda X, W, b, dY: pulled(functional.linear, X, W, b, by=dY)[2],
)  # fmt: skip
def linear_db(X, W, b, dY):
    return np.sum(dY, axis=0)


# ---- 3.2, activations ----------------------------------------------------------------------------


@equation(
    "000", "3.2.1", says=r"Y' = \max(Y, 0)", of="functional.relu", given=case("N H"),
    library=functional.relu,
)  # fmt: skip
def relu(Y):
    return np.maximum(Y, 0)


@equation(
    "000", "3.2.2", says=r"dY = \max(dY', 0)", of="functional.relu",
    given=case(("N H", away_from_zero()), "N H"),
    library=lambda Y, dY_: pulled(functional.relu, Y, by=dY_)[0],
    right=False, errata="Z1", why="It asks for the sign of the gradient, not of the input.",
)  # fmt: skip
def relu_backward(Y, dY_):
    return np.maximum(dY_, 0)


@relu_backward.corrected(r"dY = dY' \odot [Y > 0]")
def relu_backward_corrected(Y, dY_):
    return dY_ * (Y > 0)


relu_backward.example(
    np.array([1, -2, 3, -0.5]), np.array([-0.7, 0.4, 0.2, -0.3]),
    printed=[0, 0.4, 0.2, 0], true=[-0.7, 0, 0.2, 0], rounded=1e-9,
)  # fmt: skip


@equation(
    "000", "3.2.3", says=r"\tanh x = \frac{e^{2x} - 1}{e^{2x} + 1}", of="functional.tanh",
    given=case("H"), library=functional.tanh,
)  # fmt: skip
def tanh(x):
    return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)


@equation(
    "000", "3.2.3, large x", says=r"\tanh x = \frac{e^{2x} - 1}{e^{2x} + 1}", of="functional.tanh",
    given=case(("H", st.integers(-999, 999).map(float)), most=2), library=functional.tanh,
    right=False, errata="A", why="As a program it overflows: infinity by infinity is NaN.",
)  # fmt: skip
def tanh_overflows(x):
    return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)


@tanh_overflows.corrected(
    r"\tanh x = \frac{1 - e^{-2 \lvert x \rvert}}{1 + e^{-2 \lvert x \rvert}} "
    r"\operatorname{sign} x"
)
def tanh_large(x):
    return np.sign(x) * (1 - np.exp(-2 * np.abs(x))) / (1 + np.exp(-2 * np.abs(x)))


tanh_overflows.example(np.array([400.0]), printed=[np.nan], true=[1.0], rounded=1e-9)


def _slopes(f):
    return lambda x: pulled(f, x, by=np.ones_like(x))[0]


@equation(
    "000", "3.2.4, middle", says=r"\frac{\partial \tanh x}{\partial x} = \frac{4}{(e^{2x} + 1)^2}",
    of="functional.tanh", given=case("H"), library=_slopes(functional.tanh),
    right=False, errata="Z2", why="The numerator lost a factor; the two agree only at 0.",
)  # fmt: skip
def tanh_slope_middle(x):
    return 4 / (np.exp(2 * x) + 1) ** 2


@tanh_slope_middle.corrected(
    r"\frac{\partial \tanh x}{\partial x} = \frac{4 e^{2x}}{(e^{2x} + 1)^2}"
)
def tanh_slope_middle_corrected(x):
    return 4 * np.exp(2 * x) / (np.exp(2 * x) + 1) ** 2


tanh_slope_middle.example(
    np.array([1.0]), printed=[0.056837], true=[0.419974], rounded=5e-7
)  # fmt: skip
tanh_slope_middle.example(np.array([-1.0]), printed=[3.103], true=[0.419974], rounded=5e-4)
tanh_slope_middle.example(np.array([0.0]), printed=[1.0], true=[1.0], rounded=1e-12)


@equation(
    "000", "3.2.4, right", says=r"\frac{\partial \tanh x}{\partial x} = 1 - \tanh^2 x",
    of="functional.tanh", given=case("H"), library=_slopes(functional.tanh),
)  # fmt: skip
def tanh_slope(x):
    return 1 - np.tanh(x) ** 2


@equation(
    "000", "3.2.5", says=r"Y' = \tanh Y", of="nn.Tanh", given=case("N H"), library=nn.Tanh()
)  # fmt: skip
def tanh_forward(Y):
    return np.tanh(Y)


@equation(
    "000", "3.2.6", says=r"dY = dY' \cdot (1 - \tanh^2 Y)", of="nn.Tanh",
    given=case("N H", "N H"), library=lambda Y, dY_: pulled(nn.Tanh(), Y, by=dY_)[0],
)  # fmt: skip
def tanh_backward(Y, dY_):
    return dY_ * (1 - np.tanh(Y) ** 2)


@equation(
    "000", "3.2.7", says=r"\sigma(x) = \frac{1}{1 + e^{-x}}", of="functional.sigmoid",
    given=case("H"), library=functional.sigmoid,
)  # fmt: skip
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@equation(
    "000", "3.2.8, middle", of="functional.sigmoid",
    says=r"\frac{\partial \sigma(x)}{\partial x} = \frac{e^{-x}}{(1 + e^{-x})^2}",
    given=case("H"), library=_slopes(functional.sigmoid),
)  # fmt: skip
def sigmoid_slope_middle(x):
    return np.exp(-x) / (1 + np.exp(-x)) ** 2


@equation(
    "000", "3.2.8, right", of="functional.sigmoid",
    says=r"\frac{\partial \sigma(x)}{\partial x} = \sigma(x) (1 - \sigma(x))",
    given=case("H"), library=_slopes(functional.sigmoid),
)  # fmt: skip
def sigmoid_slope(x):
    return sigmoid(x) * (1 - sigmoid(x))


@equation(
    "000", "3.2.9", says=r"Y' = \sigma(Y)", of="nn.Sigmoid", given=case("N H"),
    library=nn.Sigmoid(),
)  # fmt: skip
def sigmoid_forward(Y):
    return sigmoid(Y)


@equation(
    "000", "3.2.10", says=r"dY = dY' \cdot \sigma(Y) (1 - \sigma(Y))", of="nn.Sigmoid",
    given=case("N H", "N H"), library=lambda Y, dY_: pulled(nn.Sigmoid(), Y, by=dY_)[0],
)  # fmt: skip
def sigmoid_backward(Y, dY_):
    return dY_ * sigmoid(Y) * (1 - sigmoid(Y))


# ---- 3.3, losses ---------------------------------------------------------------------------------


@equation(
    "000", "3.3.1",
    says=r"-\frac{1}{N} \sum_{i=1}^n y_i \log \hat y_i + (1 - y_i) \log(1 - \hat y_i)",
    of="functional.binary_cross_entropy", given=case(("N", bits), ("N", probabilities)),
    library=lambda y, y_hat: functional.binary_cross_entropy(y_hat, y),
    right=False, errata="Z3",
    why="Without brackets the sum ends at the plus; the second part has the wrong sign.",
)  # fmt: skip
def binary_cross_entropy(y, y_hat):
    return -1 / len(y) * np.sum(y * np.log(y_hat)) + np.sum((1 - y) * np.log(1 - y_hat))


@binary_cross_entropy.corrected(
    r"-\frac{1}{N} \sum_{i=1}^N \left[ y_i \log \hat y_i + (1 - y_i) \log(1 - \hat y_i) \right]"
)
def binary_cross_entropy_corrected(y, y_hat):
    return -1 / len(y) * np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))


binary_cross_entropy.example(
    np.array([1.0, 0.0]), np.array([0.9, 0.2]), printed=-0.17046, true=0.16425, rounded=5e-6
)


@equation(
    "000", "3.3.2", says=r"\text{softmax}(x)_i = \frac{e^{x_i}}{\sum_{j=1}^C e^{x_j}}",
    of="functional.softmax", given=case("C"), library=functional.softmax,
)  # fmt: skip
def softmax(x):
    return np.exp(x) / np.sum(np.exp(x))


def _softmax_rows(x):
    return np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)


@equation(
    "000", "3.3.3",
    says=r"\text{CE} = -\frac{1}{N} \sum_{i=1}^N \sum_{s=1}^C t_{i,s} \log f(s)_i",
    of="functional.cross_entropy", given=case("N C", one_hot), library=functional.cross_entropy,
    why="f(s)_i is the probability of class s for example i.",
)  # fmt: skip
def cross_entropy(x, t):
    return -1 / len(x) * np.sum(t * np.log(_softmax_rows(x)))


@equation(
    "000", "3.3.4", says=r"\text{CE} = -\frac{1}{N} \sum_{i=1}^N t_i \log f(s)_i",
    of="functional.cross_entropy", given=case("N C", labels), library=functional.cross_entropy,
    right=False, errata="Z5",
    why="The sum over classes was dropped with a target left in; t read as the label, it is a "
    "factor, and class 0 costs nothing.",
)  # fmt: skip
def cross_entropy_simplified(x, t):
    return -1 / len(x) * np.sum(t * np.log(_softmax_rows(x)[np.arange(len(x)), t]))


@cross_entropy_simplified.corrected(r"\text{CE} = -\frac{1}{N} \sum_{i=1}^N \log f_{i, t_i}")
def cross_entropy_simplified_corrected(x, t):
    return -1 / len(x) * np.sum(np.log(_softmax_rows(x)[np.arange(len(x)), t]))


@equation(
    "000", "3.3.5",
    says=r"\frac{\partial \text{CE}}{\partial x} = \frac{1}{N} (\text{softmax}(x) - t)",
    of="functional.cross_entropy", given=case("N C", one_hot),
    library=lambda x, t: slope(lambda z: functional.cross_entropy(z, t), x),
)  # fmt: skip
def cross_entropy_gradient(x, t):
    return 1 / len(x) * (_softmax_rows(x) - t)


@equation(
    "000", "3.3, code", says=r"\texttt{dx[np.arange(x), y] -= 1}", of="functional.cross_entropy",
    given=case("N C", labels),
    library=lambda x, y: slope(lambda z: functional.cross_entropy(z, y), x),
    right=False, errata="Z6", why="np.arange takes a number, not the scores.",
)  # fmt: skip
def cross_entropy_code(x, y):
    dx = _softmax_rows(x)
    dx[np.arange(x), y] -= 1
    return dx / len(x)


@cross_entropy_code.corrected(r"\texttt{dx[np.arange(N), y] -= 1}")
def cross_entropy_code_corrected(x, y):
    dx = _softmax_rows(x)
    dx[np.arange(len(x)), y] -= 1
    return dx / len(x)


# ---- 4.1, update rules ---------------------------------------------------------------------------

STEPS = case("D", gradients, rates)
MOMENTUM = case("D", gradients, rates, shares)


@equation(
    "000", "4.1.1", says=r"w = w - \texttt{lr} \cdot dw", of="optim.SGD", given=STEPS,
    library=lambda w, dw, lr: optimized(optim.SGD, w, dw, lr=lr)[0],
)  # fmt: skip
def sgd(w, dw, lr):
    for dw_t in dw:
        w = w - lr * dw_t
    return w


@equation(
    "000", "4.1.2", says=r"v = \texttt{momentum} \cdot v - \texttt{lr} \cdot dw",
    of="optim.SGD", given=case("D", gradients, rates, st.just(0.9)),
    library=lambda w, dw, lr, momentum: optimized(
        optim.SGD, w, dw, lr=lr, momentum=momentum, form="velocity"
    )[1].state_dict()["0"]["velocity"],
)  # fmt: skip
def velocity(w, dw, lr, momentum):
    v = np.zeros_like(w)
    for dw_t in dw:
        v = momentum * v - lr * dw_t
    return v


@equation(
    "000", "4.1.3", says=r"w = w + v", of="optim.SGD", given=MOMENTUM,
    library=lambda w, dw, lr, momentum: optimized(
        optim.SGD, w, dw, lr=lr, momentum=momentum, form="velocity"
    )[0],
)  # fmt: skip
def sgd_momentum(w, dw, lr, momentum):
    for t in range(len(dw)):
        w = w + velocity(w, dw[: t + 1], lr, momentum)
    return w


# from gradients that are not tiny: eps decides what those do, not the formula
def _steep(draw, size):
    found = gradients(draw, size)
    return np.where(np.abs(found) < 0.01, 1.0, found)


SCALED = case(("D", away_from_zero()), _steep, rates)


@equation(
    "000", "section 4.1.3, RMSprop",
    says=r"\text{second-order normalization on the weight vector } w", of="optim.RMSprop",
    given=SCALED, library=lambda w, dw, lr: optimized(optim.RMSprop, w, dw, lr=lr)[0],
    right=False, errata="Z7", why="It is the gradient that is divided by its own root mean square.",
)  # fmt: skip
def rmsprop_as_said(w, dw, lr):
    c = 0
    for dw_t in dw:
        c = 0.99 * c + 0.01 * w**2
        w = w - lr * dw_t / (np.sqrt(c) + 1e-8)
    return w


@rmsprop_as_said.corrected(
    r"c = 0.99 c + 0.01\, dw^2, \quad w = w - \texttt{lr} \frac{dw}{\sqrt c + 10^{-8}}"
)
def rmsprop(w, dw, lr):
    c = 0
    for dw_t in dw:
        c = 0.99 * c + 0.01 * dw_t**2
        w = w - lr * dw_t / (np.sqrt(c) + 1e-8)
    return w


@equation(
    "000", "section 4.1.3, Adam",
    says=r"\text{first-order normalization on the weight vector } w", of="optim.Adam",
    given=SCALED, library=lambda w, dw, lr: optimized(optim.Adam, w, dw, lr=lr)[0],
    right=False, errata="Z7",
    why="It divides a mean of gradients by the root of the mean of their squares.",
)  # fmt: skip
def adam_as_said(w, dw, lr):
    c = 0
    for dw_t in dw:
        c = 0.9 * c + 0.1 * np.abs(w)
        w = w - lr * dw_t / (c + 1e-8)
    return w


@adam_as_said.corrected(
    r"m = 0.9 m + 0.1\, dw, \quad v = 0.999 v + 0.001\, dw^2, \quad "
    r"w = w - \texttt{lr} \frac{m / (1 - 0.9^t)}{\sqrt{v / (1 - 0.999^t)} + 10^{-8}}"
)
def adam(w, dw, lr):
    m = v = 0
    for t, dw_t in enumerate(dw, start=1):
        m = 0.9 * m + 0.1 * dw_t
        v = 0.999 * v + 0.001 * dw_t**2
        w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


# the first step hardly depends on the scale of the gradient
_SCALES = np.array([[1e-3, 1.0, 1e3]])
adam_as_said.example(np.zeros(3), _SCALES, 1e-3, true=[-0.00099999, -0.001, -0.001], rounded=5e-9)
rmsprop_as_said.example(np.zeros(3), _SCALES, 1e-3, true=[-0.009999, -0.01, -0.01], rounded=5e-8)


@equation(
    "000", "code, penalty",
    says=r"\texttt{loss} \mathrel{+}= r \lVert W \rVert_F, \quad dW \mathrel{+}= 2 r W",
    of="nn.L2Penalty",
    given=case(("D H", st.integers(1, 9).map(float)), rates),
    library=lambda W, r: slope(lambda w: r * np.sqrt(np.sum(w * w)), W),
    right=False, errata="Z9",
    why="The gradient is that of the square of the norm, but the loss has the norm itself.",
)  # fmt: skip
def penalty_code(W, r):
    return 2 * r * W


@penalty_code.corrected(
    r"\texttt{loss} \mathrel{+}= r \lVert W \rVert_F^2, \quad dW \mathrel{+}= 2 r W",
    given=case(("D H", numbers()), rates),
    library=lambda W, r: penalty_gradient(nn.L2Penalty(r), W),
)
def penalty_corrected(W, r):
    return 2 * r * W


penalty_code.example(
    np.array([[3.0, 4.0]]), 0.01, printed=[[0.06, 0.08]], true=[[0.006, 0.008]], rounded=1e-9
)
