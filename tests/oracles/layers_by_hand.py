"""The reports' layers and losses as programs with a backward pass, for check_backward."""

import cheng
import dewangan
import kong
import korssjoen
import numpy as np
import zheng
from networks import _softmax

from tinygrad_fm.testing import check_backward

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((5, 4)), RNG.standard_normal((4, 3)), RNG.standard_normal(3)
NEXT = RNG.standard_normal((3, 4))  # the weights of the layer after
LABELS = RNG.integers(0, 4, 5)
ONE_HOT = np.eye(4)[LABELS]
Y, BITS = RNG.uniform(0.1, 0.9, (5, 3)), RNG.integers(0, 2, (5, 3)).astype(float)


def linear(form):
    def backward(dout, X, W, b):
        given = X, W, b, dout
        return zheng.linear_dx(*given), zheng.linear_dw(*given), form(*given)

    return check_backward((zheng.linear.printed, backward), X, W, B)


def chain_rule(parameters, inputs):
    def forward(x, W, b):
        return np.tanh(x @ W + b)

    def backward(dout, x, W, b):
        dx, (dW, db) = inputs(x, W, b, dout), parameters(x, W, b, dout)
        return dx, dW, db

    return check_backward((forward, backward), X, W, B)


def through(forward, backward):
    """An activation, and its backward pass of (x, dy)."""
    return check_backward((forward, lambda dout, x: backward(x, dout)), X)


def sloped(forward, slope):
    """An activation, and its derivative."""
    return through(forward, lambda x, dy: dy * slope(x))


def named(forward, backward, x=X):
    """An activation whose argument has a name of its own."""
    return check_backward((lambda x: forward(x), lambda dout, x: backward(x, dout)), x)


def softmax(form):
    return named(form, lambda x, dy: form(x) * (dy - dy @ form(x)), X[0])


def leaky(backward):
    return check_backward(
        (korssjoen.leaky_relu.printed, lambda dout, x, alpha: backward(x, dout, alpha)), X, 0.1
    )


# ---- losses --------------------------------------------------------------------------------------


def loss(value, gradient, a, t):
    """A loss of (a, t), with its gradient by a."""

    def loss_and_gradient(a, t):
        return value(a, t), gradient(a, t)

    return check_backward(loss_and_gradient, a, t)


def targets_first(value, gradient, y=Y, t=BITS):
    return loss(lambda a, t: value(t, a), lambda a, t: gradient(t, a), y, t)


def sum_of_losses(a, t):
    return -np.sum(t * np.log(_softmax(a)))


def mean_over_all(a, t):
    return sum_of_losses(a, t) / a.size


def by_logits(k):
    """Of the cross-entropy of labels."""
    return lambda a: (_softmax(a) - np.eye(a.shape[1])[k]) / len(k)


def binary_of_logits(t, a):
    y = 1 / (1 + np.exp(-a))
    return -np.sum(t * np.log(y) + (1 - t) * np.log(1 - y))


# ---- penalties -----------------------------------------------------------------------------------


def penalty(value, gradient):
    """A term of (w, strength) and its gradient."""
    return check_backward(lambda w: (value(w, 0.1), gradient(w, 0.1)), W)


def l1(w, strength):
    return strength * np.sum(np.abs(w))


def l2(w, strength):
    return strength * np.sum(w**2)


def root(w, strength):
    return strength * np.sqrt(np.sum(w**2))


def penalty_of_code(form):
    return penalty(root if form is zheng.penalty_code.printed else l2, form)


def penalised(value, term):
    """A loss of (x, W, t, strength) with the gradient that the corrected form has."""
    t = np.eye(3)[LABELS % 3]

    def loss_and_gradient(W, x):
        return value(x, W, t, 0.1), x.T @ (_softmax(x @ W) - t) / len(x) + term(W, 0.1)

    return check_backward(loss_and_gradient, W, X)


def cross_entropy_with_penalty(form):
    return check_backward(lambda W, x: form(x, W, LABELS % 3, 0.1), W, X)


# ---- a hidden layer ------------------------------------------------------------------------------


class OneHidden:
    """Report 004's deltas: tanh, and a softmax without biases; one example of one input."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias
        self.w, self.b = np.array([[0.7, -0.4, 0.2]]), np.array([0.3, 0.1, -0.6])

    def loss(self, z, t):
        return sum_of_losses(np.tanh(z @ self.w + self.b) @ NEXT, t)

    def gradients(self, z, t):
        self.dw = self.weight(z, self.w, self.b, NEXT, t)
        self.db = self.bias(z, self.w, self.b, NEXT, t)


def hidden(weight, bias):
    return check_backward(
        lambda: OneHidden(weight, bias),
        data=(np.array([[1.5]]), np.eye(4)[[2]]),
        loss=lambda net, z, t: net.loss(z, t),
        backward=lambda net, z, t: net.gradients(z, t),
    )


def hidden_delta(form):
    """(2), which is minus the derivative by the biases where there is one example."""
    return hidden(
        lambda *given: -given[0].T @ form(*given), lambda *given: -form(*given).sum(axis=0)
    )


class TwoWeights:
    """Report 003's example: the gradient by the first weight, as its text says it."""

    def __init__(self, gradient):
        self.gradient = gradient
        self.w1, self.w2 = np.array(2.0), np.array(3.0)

    def loss(self, x, t):
        return 0.5 * (self.w2 * (self.w1 * x) - t) ** 2

    def backward(self, x, t):
        self.dw2 = (self.w2 * self.w1 * x - t) * self.w1 * x
        self.dw1 = self.gradient(self.w1, self.w2, x, t, 0.1)


def two_weights(form):
    return check_backward(
        lambda: TwoWeights(form),
        data=(1.5, 0.5),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
    )


# ---- all of them ---------------------------------------------------------------------------------
# (equations, the report on a form of the last of them, what is said of the printed form)
RIGHT, N_TIMES = "", "times the batch size"

LAYERS = [
    ((zheng.linear, zheng.linear_dx, zheng.linear_dw, zheng.linear_db), linear, RIGHT),
    ((zheng.relu, zheng.relu_backward), lambda f: named(zheng.relu, f), "the mask of"),
    ((zheng.tanh, zheng.tanh_slope_middle), lambda f: sloped(zheng.tanh.printed, f), "return 4 /"),
    ((zheng.tanh_slope,), lambda f: sloped(zheng.tanh.printed, f), RIGHT),
    ((zheng.tanh_overflows,), lambda f: sloped(f, zheng.tanh_slope.printed), "exp overflows"),
    ((zheng.tanh_forward, zheng.tanh_backward), lambda f: named(zheng.tanh_forward, f), RIGHT),
    ((zheng.sigmoid, zheng.sigmoid_slope_middle),
     lambda f: sloped(zheng.sigmoid.printed, f), RIGHT),
    ((zheng.sigmoid_slope,), lambda f: sloped(zheng.sigmoid.printed, f), RIGHT),
    ((zheng.sigmoid_forward, zheng.sigmoid_backward),
     lambda f: named(zheng.sigmoid_forward, f), RIGHT),
    ((zheng.binary_cross_entropy,),
     lambda f: targets_first(f, cheng.bce_gradient_corrected, Y.ravel(), BITS.ravel()), "wrong"),
    ((zheng.softmax,), softmax, RIGHT),
    ((zheng.cross_entropy, zheng.cross_entropy_gradient),
     lambda f: loss(zheng.cross_entropy, f, X, ONE_HOT), RIGHT),
    ((zheng.cross_entropy_simplified,),
     lambda f: loss(f, zheng.cross_entropy_code_corrected, X, LABELS), "wrong"),
    ((zheng.cross_entropy_code,),
     lambda f: loss(zheng.cross_entropy_simplified_corrected, f, X, LABELS), "(zheng.py:"),
    ((zheng.penalty_code,), penalty_of_code, "times with other numbers"),
    ((cheng.chain_rule_parameters, cheng.chain_rule_inputs),
     lambda f: chain_rule(cheng.chain_rule_parameters, f), RIGHT),
    ((cheng.mse,), lambda f: targets_first(f, cheng.mse_gradient_corrected), "times"),
    ((cheng.mse_gradient,), lambda f: targets_first(cheng.mse_corrected, f), N_TIMES),
    ((cheng.bce,), lambda f: targets_first(f, cheng.bce_gradient_corrected), "times"),
    ((cheng.bce_gradient,), lambda f: targets_first(cheng.bce_corrected, f), N_TIMES),
    ((cheng.sigmoid_slope,), lambda f: sloped(zheng.sigmoid.printed, f), "at its output"),
    ((cheng.bce_through_sigmoid,), lambda f: targets_first(binary_of_logits, f, X, ONE_HOT),
     "wrong"),
    ((dewangan.first_delta,), lambda f: loss(mean_over_all, f, X, ONE_HOT), "the sign"),
    ((dewangan.penalty,), lambda f: penalty(l2, f), "two"),
    ((korssjoen.leaky_relu, korssjoen.leaky_relu_backward), leaky, RIGHT),
    ((korssjoen.cross_entropy,), lambda f: loss(f, lambda a, t: by_logits(t)(a), X, LABELS), RIGHT),
    ((korssjoen.cross_entropy_with_penalty,), cross_entropy_with_penalty, RIGHT),
    ((korssjoen.updated_weights_first,), two_weights, "net.w1  wrong"),
    ((kong.output_delta,), lambda f: loss(sum_of_losses, f, X, ONE_HOT), "the sign"),
    ((kong.output_delta_any,), lambda f: loss(sum_of_losses, f, X, Y @ NEXT), "wrong"),
    ((kong.hidden_delta,), hidden_delta, RIGHT),
    ((kong.weight_gradient,), lambda f: hidden(f, kong.bias_gradient_corrected), "net.w  wrong"),
    ((kong.bias_gradient,), lambda f: hidden(kong.weight_gradient_corrected, f), "the sign"),
    ((kong.l2_gradient,), lambda f: penalty(l2, f), RIGHT),
    ((kong.l1_gradient,), lambda f: penalty(l1, f), RIGHT),
    ((kong.l2_loss,), lambda f: penalised(f, kong.l2_gradient), "wrong"),
    ((kong.l1_loss,), lambda f: penalised(f, kong.l1_gradient), "wrong"),
    ((kong.sigmoid,), lambda f: named(f, zheng.sigmoid_backward), RIGHT),
    ((kong.tanh,), lambda f: named(f, zheng.tanh_backward), RIGHT),
    ((kong.relu,), lambda f: named(f, zheng.relu_backward_corrected), RIGHT),
]  # fmt: skip
