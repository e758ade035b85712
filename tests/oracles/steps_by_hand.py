"""The reports' rules of updating as programs that take steps, for check_backward."""

import cheng
import dewangan
import kong
import korssjoen
import numpy as np
import zheng
from networks import _softmax

from tinygrad_fm.testing import check_backward

X = np.random.default_rng(0).standard_normal((6, 4))
ONE_HOT = np.eye(3)[[0, 2, 1, 1, 0, 2]]
LR, MOMENTUM = 0.1, 0.9


class Model:
    """A layer and its cross-entropy, with a right gradient; a step of its own."""

    def __init__(self, step, strength=0.0):
        rng = np.random.default_rng(1)
        self.step, self.strength = step, strength
        self.w, self.b = rng.standard_normal((4, 3)), rng.standard_normal(3)
        self.seen = {"w": [], "b": []}

    def loss(self, x, t):
        data = -np.sum(t * np.log(_softmax(x @ self.w + self.b))) / len(x)
        return data + self.strength * np.sum(self.w**2)

    def backward(self, x, t):
        self.x, self.t = x, t
        d = (_softmax(x @ self.w + self.b) - t) / len(x)
        self.dw, self.db = x.T @ d, d.sum(axis=0)


def learned(step, strength=0.0):
    return check_backward(
        lambda: Model(step, strength),
        data=(X, ONE_HOT),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
        step=lambda net: net.step(net),
    )


def by_rule(rule, *settings):
    """A rule of (w, gradients of all steps, rate, ...), as the change that the last one makes."""

    def step(net):
        for name in ("w", "b"):
            p, seen = getattr(net, name), net.seen[name]
            before = rule(p, np.array(seen), LR, *settings) if seen else p
            seen.append(getattr(net, f"d{name}"))
            p += rule(p, np.array(seen), LR, *settings) - before

    return learned(step)


def velocity(form):
    def step(net):
        for name in ("w", "b"):
            net.seen[name].append(getattr(net, f"d{name}"))
            p = getattr(net, name)
            p += form(p, np.array(net.seen[name]), LR, MOMENTUM)

    return learned(step)


def of_sum(form):
    """Rules that have the gradients of a sum of fourth powers in them."""

    class Powers:
        def __init__(self):
            self.w = np.array([1.0, -2.0, 0.5])

        def loss(self, x, t):
            return np.sum(self.w**4)

        def backward(self, x, t):
            self.dw = 4 * self.w**3

        def step(self):
            self.w = form(self.w, LR / 10)

    return check_backward(
        Powers,
        data=(X, ONE_HOT),
        loss=lambda net, x, t: net.loss(x, t),
        backward=lambda net, x, t: net.backward(x, t),
        step=lambda net: net.step(),
    )


def whole(form):
    """Rules that make the new weights and biases of the data, one step from rest."""

    def step(net):
        net.w, net.b = form(net.x, net.w, net.b, net.t, 10 * LR)

    return learned(step)


def decayed(form, strength=0.01):
    """Rules of (W, strength, rate) that take away some of the weights."""

    def step(net):
        net.w = form(net.w, strength, LR) - LR * net.dw
        net.b = net.b - LR * net.db

    return learned(step, strength)


def biases(form):
    def step(net):
        net.w = net.w - LR * net.dw
        net.b = form(net)

    return learned(step)


def biases_learned(form):
    return biases(lambda net: net.b if form is cheng.biases_left.printed else net.b - LR * net.db)


def biases_decayed(form):
    return biases(lambda net: form(net.w, net.b, 0.01, LR) - LR * net.db)


# (equations, the report on a form of the last of them, what is said of the printed form, and of
# the corrected one)
UNKNOWN = "the step follows no one rule known here"
DESCENT, HEAVY = "the step is gradient descent", "the step is momentum 0.9"
RMSPROP, ADAM = "the step is RMSprop with 0.99", "the step is Adam with 0.9 and 0.999"

STEPS = [
    ((zheng.sgd,), lambda f: by_rule(f), DESCENT, ""),
    ((zheng.velocity,), velocity, HEAVY, ""),
    ((zheng.sgd_momentum,), lambda f: by_rule(f, MOMENTUM), HEAVY, ""),
    ((zheng.rmsprop_as_said,), by_rule, UNKNOWN, RMSPROP),
    ((zheng.adam_as_said,), by_rule, UNKNOWN, ADAM),
    ((cheng.descent,), of_sum, DESCENT, ""),
    ((cheng.descent_by_batches,), by_rule, DESCENT, ""),
    ((cheng.decay,), decayed, "and the step adds the penalty", ""),
    ((cheng.decay_logged,), lambda f: decayed(lambda W, lam, lr: f(W, 2 * lam, lr)),
     "and the step adds the penalty", ""),
    ((cheng.decay_coded,), decayed, "the decay is not scaled by the learning rate",
     "and the step adds the penalty"),
    ((cheng.biases_left,), biases_learned, "net.b is never updated", DESCENT),
    ((cheng.biases_decayed,), biases_decayed, "net.b away", DESCENT),
    ((dewangan.momentum,), lambda f: by_rule(f, MOMENTUM), HEAVY, ""),
    ((korssjoen.adam_by_variance,), by_rule, "infinite or no number", ADAM),
    ((kong.momentum,), lambda f: by_rule(f, MOMENTUM), HEAVY, ""),
    ((kong.ascent,), whole, "uphill", DESCENT),
    ((kong.biases_by_sum,), whole, "net.b learns 6 times as fast as net.w", DESCENT),
]  # fmt: skip
