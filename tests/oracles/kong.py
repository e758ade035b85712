"""Report 004 (Kong): deltas (1) to (4), numerical gradients (5), penalties, algorithms 1 and 2."""

import math
from types import SimpleNamespace

import numpy as np
from equation import equation
from given import (
    Weights,
    case,
    descended,
    gradients,
    numbers,
    one_hot,
    optimized,
    penalty_gradient,
    rates,
    shares,
    slope,
    target_rows,
)
from hypothesis import strategies as st

import tinygrad_fm as tg
from tinygrad_fm import functional, nn, optim, train

# Throughout, delta is minus the derivative of E by a pre-activation a; z is a layer's input.


def _softmax(a):
    return np.exp(a) / np.sum(np.exp(a), axis=1, keepdims=True)


def _error(a, t):
    return functional.cross_entropy(a, t, reduction="sum")


def _minus_by_output(a, t):
    return -slope(_error, a, t)


# ---- deltas --------------------------------------------------------------------------------------


@equation(
    "004", "(1)", says=r"\delta_k = -\frac{\partial E}{\partial a_k} = t_k - y_k",
    of="functional.cross_entropy", given=case("N C", target_rows), library=_minus_by_output,
)  # fmt: skip
def output_delta(a, t):
    return t - _softmax(a)


output_delta.example(
    np.array([[np.log(0.442066), np.log(0.557934)]]), np.array([[0.0, 1.0]]),
    printed=[[-0.442066, 0.442066]], rounded=5e-7,
)  # fmt: skip


@equation(
    "004", "(1), any targets", says=r"\delta_k = -\frac{\partial E}{\partial a_k} = t_k - y_k",
    of="functional.cross_entropy", given=case("N C", ("N C", st.integers(0, 3).map(float))),
    library=_minus_by_output,
    right=False, errata="A", why="It needs targets that sum to 1.",
)  # fmt: skip
def output_delta_any(a, t):
    return t - _softmax(a)


@output_delta_any.corrected(r"\delta_k = t_k - y_k \sum_l t_l")
def output_delta_any_corrected(a, t):
    return t - _softmax(a) * t.sum(axis=1, keepdims=True)


output_delta_any.example(
    np.array([[np.log(0.442066), np.log(0.557934)]]), np.array([[0.5, 1.0]]),
    printed=[[0.0579, 0.4421]], true=[[-0.1631, 0.1631]], rounded=5e-5,
)  # fmt: skip


def _hidden_delta(z, w, b, w_next, t):
    """(1) and (2), for a hidden layer of tanh and no bias after it; and its pre-activations."""
    a = z @ w + b
    delta = t - _softmax(np.tanh(a) @ w_next)
    return (1 - np.tanh(a) ** 2) * (delta @ w_next.T), a


NET = case("N D", "D H", "H", "H C", one_hot)
ONE_INPUT = case("1 1", "1 H", "H", "H C", lambda draw, size: one_hot(
    draw, lambda name: 1 if name == "N" else size(name)))  # fmt: skip


def _net_error(w, b, z, w_next, t):
    return _error(functional.tanh(functional.linear(z, w, b)) @ w_next, t)


def _by_weights(z, w, b, w_next, t):
    return slope(_net_error, w, b, z, w_next, t)


def _by_biases(z, w, b, w_next, t):
    return tg.grad(_net_error, 1)(w, b, z, w_next, t)


@equation(
    "004", "(2)", says=r"\delta_j = g'(a_j) \sum_k \delta_k w_{jk}",
    of="functional.tanh", given=NET,
    library=lambda z, w, b, w_next, t: -slope(
        lambda a: _error(functional.tanh(a) @ w_next, t), z @ w + b
    ),
    why="k is the layer after j, not \u201cthe previous layer\u201d.",
)  # fmt: skip
def hidden_delta(z, w, b, w_next, t):
    return _hidden_delta(z, w, b, w_next, t)[0]


@equation(
    "004", "(3)", says=r"\frac{\partial E}{\partial w_j} = \delta_j a_j", of="functional.linear",
    given=ONE_INPUT, library=_by_weights,
    right=False, errata="Q1",
    why="The sign is the other one, and the factor is the layer's input, not its own "
    "pre-activation (here a layer with one input, so that there is one weight for each j).",
)  # fmt: skip
def weight_gradient(z, w, b, w_next, t):
    delta, a = _hidden_delta(z, w, b, w_next, t)
    return delta * a


@weight_gradient.corrected(
    r"\frac{\partial E}{\partial w_{ij}} = -\delta_j z_i", given=NET, library=_by_weights
)
def weight_gradient_corrected(z, w, b, w_next, t):
    return -z.T @ _hidden_delta(z, w, b, w_next, t)[0]


@equation(
    "004", "(4)", says=r"\frac{\partial E}{\partial b_j} = \delta_j", of="functional.linear",
    given=NET, library=_by_biases,
    right=False, errata="Q2", why="The sign is the other one.",
)  # fmt: skip
def bias_gradient(z, w, b, w_next, t):
    return _hidden_delta(z, w, b, w_next, t)[0].sum(axis=0)


@bias_gradient.corrected(r"\frac{\partial E}{\partial b_j} = -\delta_j")
def bias_gradient_corrected(z, w, b, w_next, t):
    return -_hidden_delta(z, w, b, w_next, t)[0].sum(axis=0)


# ---- numerical gradients -------------------------------------------------------------------------

EPSILON = 1e-2


def _third_order(w, x, t):
    """E' + epsilon^2/6 E''', by automatic derivatives of orders one and three."""

    def error(w):
        return np.sum(np.log(1 + np.exp(-t * np.tanh(w * x))))

    first = tg.grad(error)
    return first(w) + EPSILON**2 / 6 * tg.grad(tg.grad(first))(w)


@equation(
    "004", "(5)",
    says=r"\frac{\partial E}{\partial w} \approx "
    r"\frac{E(w + \epsilon) - E(w - \epsilon)}{2 \epsilon}, \quad \epsilon = 10^{-2}",
    of="grad", library=_third_order, within=1e-6,
    given=case(numbers(), ("N", numbers(-1, 1)), ("N", st.sampled_from([-1.0, 1.0]))),
    why=r"Its error is $`\frac{\epsilon^2}{6} E'''`$: with this added to $`E'`$ the two agree to "
    r"order $`\epsilon^4`$.",
)  # fmt: skip
def numerical_gradient(w, x, t):
    def error(w):
        return np.sum(np.log(1 + np.exp(-t * np.tanh(w * x))))

    return (error(w + EPSILON) - error(w - EPSILON)) / (2 * EPSILON)


# ---- penalties and activations -------------------------------------------------------------------

STRENGTH = st.integers(1, 9).map(lambda n: n / 10)


@equation(
    "004", "(6), (7), gradient of L2",
    says=r"\frac{\partial}{\partial w} \lambda \sum w^2 = 2 \lambda w",
    of="nn.L2Penalty", given=case("D H", STRENGTH),
    library=lambda w, lam: penalty_gradient(nn.L2Penalty(lam), w),
)  # fmt: skip
def l2_gradient(w, lam):
    return lam * 2 * w


@equation(
    "004", "(6), (7), gradient of L1",
    says=r"\frac{\partial}{\partial w} \lambda \sum \lvert w \rvert = "
    r"\lambda \operatorname{sign} w",
    of="nn.L1Penalty", given=case("D H", STRENGTH),
    library=lambda w, lam: penalty_gradient(nn.L1Penalty(lam), w),
    why="0 at 0, a subgradient.",
)  # fmt: skip
def l1_gradient(w, lam):
    return lam * np.sign(w)


def _mean_with(penalty):
    def loss(x, W, t, lam):
        return functional.cross_entropy(x @ W, t) + penalty(lam)(Weights(W))

    return loss


PENALISED = case("N D", "D C", one_hot, STRENGTH)


def _losses(x, W, t):
    return -np.sum(t * np.log(_softmax(x @ W)), axis=1)


@equation(
    "004", "(6), (7), L2", says=r"\sum_{i=1}^N \text{loss}_i + \lambda \sum_{i=1}^N w_i^2",
    of="nn.L2Penalty", given=PENALISED, library=_mean_with(nn.L2Penalty),
    right=False, errata="Q7",
    why="The loss is a mean, and N counts examples, not weights (read literally: the first N).",
)  # fmt: skip
def l2_loss(x, W, t, lam):
    return np.sum(_losses(x, W, t)) + lam * np.sum(W.ravel()[: len(x)] ** 2)


@l2_loss.corrected(r"\frac{1}{N} \sum_{i=1}^N \text{loss}_i + \lambda \sum_{j} w_j^2")
def l2_loss_corrected(x, W, t, lam):
    return np.mean(_losses(x, W, t)) + lam * np.sum(W**2)


@equation(
    "004", "(6), (7), L1", of="nn.L1Penalty",
    says=r"\sum_{i=1}^N \text{loss}_i + \lambda \sum_{i=1}^N \lvert w_i \rvert",
    given=PENALISED, library=_mean_with(nn.L1Penalty),
    right=False, errata="Q7", why="As for L2.",
)  # fmt: skip
def l1_loss(x, W, t, lam):
    return np.sum(_losses(x, W, t)) + lam * np.sum(np.abs(W.ravel()[: len(x)]))


@l1_loss.corrected(r"\frac{1}{N} \sum_{i=1}^N \text{loss}_i + \lambda \sum_{j} \lvert w_j \rvert")
def l1_loss_corrected(x, W, t, lam):
    return np.mean(_losses(x, W, t)) + lam * np.sum(np.abs(W))


@equation(
    "004", "(8) to (10), sigmoid", says=r"g(z) = \frac{1}{1 + e^{-z}}", of="nn.Sigmoid",
    given=case("N H"), library=nn.Sigmoid(),
)  # fmt: skip
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@equation(
    "004", "(8) to (10), tanh", says=r"g(z) = \frac{e^z - e^{-z}}{e^z + e^{-z}}", of="nn.Tanh",
    given=case("N H"), library=nn.Tanh(),
)  # fmt: skip
def tanh(z):
    return (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))


@equation(
    "004", "(8) to (10), ReLU", says=r"g(z) = \max(0, z)", of="nn.ReLU", given=case("N H"),
    library=nn.ReLU(),
)  # fmt: skip
def relu(z):
    return np.maximum(0, z)


# ---- algorithm 1 ---------------------------------------------------------------------------------


@equation(
    "004", "Alg. 1, momentum", of="optim.SGD", given=case("D", gradients, rates, shares),
    says=r"v \leftarrow \gamma v + (1 - \gamma) d, \quad w \leftarrow w - \alpha v",
    library=lambda w, d, lr, gamma: optimized(
        optim.SGD, w, d, lr=lr, momentum=gamma, form="averaged"
    )[0],
    why="An average: a heavy ball with the rate times $`1 - \\gamma`$.",
)  # fmt: skip
def momentum(w, d, lr, gamma):
    v = np.zeros_like(w)
    for d_t in d:
        v = gamma * v + (1 - gamma) * d_t
        w = w - lr * v
    return w


momentum.example(np.zeros(1), np.ones((200, 1)), 0.05, 0.9, printed=[-9.55], rounded=5e-3)

LAYER = case("N D", "D C", "C", one_hot, rates)


def _one_step(x, w, b, t, lr):
    return descended(
        lambda w, b: functional.cross_entropy(functional.linear(x, w, b), t), w, b,
        lr=lr, momentum=0.9, form="averaged",
    )  # fmt: skip


def _sums(x, w, b, t):
    delta = t - _softmax(x @ w + b)
    return x.T @ delta, delta.sum(axis=0)


@equation(
    "004", "Alg. 1, with (3) and (4)", of="optim.SGD", given=LAYER, library=_one_step,
    says=r"v \leftarrow \gamma v + (1 - \gamma) \delta z, \quad w \leftarrow w - \alpha v",
    right=False, errata="Q3",
    why="With the signs of (3) and (4) it climbs (here with the right factor, and the mean over "
    "the examples).",
)  # fmt: skip
def ascent(x, w, b, t, lr):
    d_w, d_b = _sums(x, w, b, t)
    return w - lr * 0.1 * d_w / len(x), b - lr * 0.1 * d_b / len(x)


@ascent.corrected(r"v \leftarrow \gamma v - (1 - \gamma) \delta z, \quad w \leftarrow w - \alpha v")
def ascent_corrected(x, w, b, t, lr):
    d_w, d_b = _sums(x, w, b, t)
    return w + lr * 0.1 * d_w / len(x), b + lr * 0.1 * d_b / len(x)


@equation(
    "004", "code, biases", of="optim.SGD", given=LAYER, library=_one_step,
    says=r"w \leftarrow w - \frac{\alpha}{N} m_w, \quad b \leftarrow b - \alpha m_b",
    right=False, errata="Q5", why="Sums over the batch, of which only one is divided by its size.",
)  # fmt: skip
def biases_by_sum(x, w, b, t, lr):
    d_w, d_b = _sums(x, w, b, t)
    return w + lr * 0.1 * d_w / len(x), b + lr * 0.1 * d_b


@biases_by_sum.corrected(
    r"w \leftarrow w - \frac{\alpha}{N} m_w, \quad b \leftarrow b - \frac{\alpha}{N} m_b"
)
def biases_by_mean(x, w, b, t, lr):
    return ascent_corrected(x, w, b, t, lr)


# ---- algorithm 2 ---------------------------------------------------------------------------------


def _stops(losses, patience, **options):
    """At which epoch, counted from 0, our callback stops; -1 where it does not."""
    callback = train.EarlyStopping(patience, "loss", restore_best=False, **options)
    state = SimpleNamespace(model=None, history=[], stop=False)
    callback.on_train_begin(state)
    for epoch, loss in enumerate(losses):
        state.epoch, state.record = epoch + 1, {"epoch": epoch + 1, "loss": loss}
        callback.on_epoch_end(state)
        if state.stop:
            return epoch
    return -1


def _stops_printed(losses, patience):
    best, waited = math.inf, 0
    for epoch, loss in enumerate(losses):
        if loss > best:
            waited += 1
            if waited > patience:
                return epoch
        else:
            best, waited = loss, 0
    return -1


# all different: whether an equal loss is an improvement is not printed
FINITE = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=12, unique=True)
PATIENCE = st.integers(1, 5)


@equation(
    "004", "Alg. 2, lines 19 to 27", of="train.EarlyStopping",
    says=r"\text{if loss} > \text{best: } p \leftarrow p + 1, \text{ stop if } p > \text{patience; "
    r"else } p \leftarrow 0, \text{ best} \leftarrow \text{loss}",
    given=st.tuples(FINITE, PATIENCE),
    library=lambda losses, patience: _stops(losses, patience, exceed=True),
    why="With exceed=True. The answer is the epoch of the stop, from 0; \u22121 is none.",
)  # fmt: skip
def early_stopping(losses, patience):
    return _stops_printed(losses, patience)


@equation(
    "004", "Alg. 2, patience", of="train.EarlyStopping",
    says=r"\text{stop if } p > \text{patience}",
    given=st.tuples(FINITE, PATIENCE), library=_stops,
    right=False, errata="Q8",
    why="Stops at the epoch after the one that the default, and the code, name.",
)  # fmt: skip
def early_stopping_late(losses, patience):
    return _stops_printed(losses, patience)


@early_stopping_late.corrected(r"\text{stop if } p = \text{patience}")
def early_stopping_in_time(losses, patience):
    best, waited = math.inf, 0
    for epoch, loss in enumerate(losses):
        if loss > best:
            waited += 1
            if waited == patience:
                return epoch
        else:
            best, waited = loss, 0
    return -1


# the list of the errata is not recorded; any that rises after its second loss will do
early_stopping_late.example(
    [5.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0], 5, printed=7, true=6, rounded=0
)


@equation(
    "004", "Alg. 2, NaN", of="train.EarlyStopping",
    says=r"\text{if loss} > \text{best: } p \leftarrow p + 1",
    given=st.tuples(FINITE.map(lambda found: [*found, *[math.nan] * 6]), PATIENCE),
    library=lambda losses, patience: _stops(losses, patience, exceed=True),
    right=False, errata="Q8", why="A NaN is not above the best, so it counts as one: no stop ever.",
)  # fmt: skip
def early_stopping_nan(losses, patience):
    return _stops_printed(losses, patience)


@early_stopping_nan.corrected(r"\text{if not loss} < \text{best: } p \leftarrow p + 1")
def early_stopping_nan_corrected(losses, patience):
    best, waited = math.inf, 0
    for epoch, loss in enumerate(losses):
        if not loss < best:
            waited += 1
            if waited > patience:
                return epoch
        else:
            best, waited = loss, 0
    return -1
