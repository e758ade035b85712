"""Whole networks: our gradients and training equal the reports' recursion and rules, by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import ACTIVATIONS, HIDDEN, LOSSES, Network

from tinygrad_fm import nn, optim


@st.composite
def networks(draw, most_hidden=4):
    """Networks of 0 to 4 hidden layers of 1 to 6 units, on batches of 1 to 7.

    Not drawn: pre-activations within 1e-6 of a kink, predictions that are certain or already right
    to 1e-2 (the differences t - y have too few digits there).
    """
    loss = draw(st.sampled_from(sorted(LOSSES)))
    hidden = draw(st.lists(st.sampled_from(HIDDEN), max_size=most_hidden))
    activations = [*hidden, draw(st.sampled_from(LOSSES[loss].outputs))]
    least = 2 if loss.startswith("softmax") else 1  # one class is certain
    widths = draw(st.lists(st.integers(1, 6), min_size=len(hidden) + 1, max_size=len(hidden) + 1))
    widths.append(draw(st.integers(least, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = [
        [rng.normal(size=(n, m)) / np.sqrt(n), rng.normal(size=m) / 2]
        for n, m in itertools.pairwise(widths)
    ]
    x = rng.normal(size=(draw(st.integers(1, 7)), widths[0]))
    net = Network(layers, activations, loss, x, targets(loss, len(x), widths[-1], rng))
    z, a = net.forward()
    for pre, name in zip(a, activations, strict=True):
        assume(not ACTIVATIONS[name].kink or np.abs(pre).min() > 1e-6)
    assume(np.abs(LOSSES[loss].delta(z[-1], net.t)).max() * net.t.size > 1e-2)
    assume(loss != "binary cross-entropy" or np.abs(z[-1] - 0.5).max() < 0.499)
    return net


def targets(loss, n, width, rng):
    if loss.startswith("softmax"):
        return np.eye(width)[rng.integers(width, size=n)]
    if loss == "mse, 1/2N":
        return rng.normal(size=(n, width))
    return rng.integers(2, size=(n, width)).astype(float)


def assert_equal(ours, by_hand, start=None):
    """To 1e-12 of the largest number of a layer, its start included where there is one."""
    ours = list(ours)
    for i, layer in enumerate(by_hand):
        size = max(np.abs(a).max() for a in [*layer, *(start[i] if start else [])])
        for mine, theirs in zip(ours[2 * i : 2 * i + 2], layer, strict=True):
            assert np.abs(mine - theirs).max() <= 1e-12 * size, f"layer {i}: {mine}, not {theirs}"
    assert len(ours) == 2 * len(by_hand)


@given(networks())
def test_gradients_equal_the_recursion(net):
    model = net.model()
    loss = net.our_error(model)
    loss.backward()
    np.testing.assert_allclose(loss.item(), net.error(), rtol=1e-12)
    assert_equal([p.grad.data for p in model.parameters()], net.gradients())


def test_recursion_equals_central_differences():
    """By hand is not right by being by hand."""
    rng = np.random.default_rng(0)
    for loss in LOSSES:
        hidden = [*HIDDEN, LOSSES[loss].outputs[0]]
        layers = [[rng.normal(size=(3, 3)), rng.normal(size=3)] for _ in hidden]
        net = Network(layers, hidden, loss, rng.normal(size=(4, 3)), targets(loss, 4, 3, rng))
        for layer, found in zip(layers, net.gradients(), strict=True):
            for array, gradient in zip(layer, found, strict=True):
                for index in np.ndindex(array.shape):
                    old = array[index]
                    errors = []
                    for step in (1e-5, -1e-5):
                        array[index] = old + step
                        errors.append(net.error())
                    array[index] = old
                    numeric = (errors[0] - errors[1]) / 2e-5
                    np.testing.assert_allclose(gradient[index], numeric, rtol=1e-6, atol=1e-8)


# ---- training ------------------------------------------------------------------------------------
# A rule: (w, g, memory, t) -> w, one line a printed line, and the optimizer that is to do the same.

LR = 0.05


def sgd(w, g, memory, t):
    return w - LR * g


def momentum_of_report_000(w, g, memory, t):
    memory["v"] = 0.9 * memory.get("v", 0) - LR * g
    return w + memory["v"]


def rmsprop(w, g, memory, t):
    memory["c"] = 0.99 * memory.get("c", 0) + 0.01 * g**2
    return w - LR / (np.sqrt(memory["c"]) + 1e-8) * g


def adam(w, g, memory, t, eps=1e-8):
    memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
    memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * g**2
    m, v = memory["m"] / (1 - 0.9**t), memory["v"] / (1 - 0.999**t)
    return w - LR * m / (np.sqrt(v) + eps)


def momentum_of_report_002(w, g, memory, t):
    memory["v"] = 0.9 * memory.get("v", 0) + g
    return w - LR * memory["v"]


def adam_of_report_003(w, g, memory, t):
    return adam(w, g, memory, t, eps=1e-7)


def momentum_of_report_004(w, g, memory, t):
    memory["v"] = 0.9 * memory.get("v", 0) + 0.1 * g
    return w - LR * memory["v"]


RULES = {
    sgd: lambda p: optim.SGD(p, LR),
    momentum_of_report_000: lambda p: optim.SGD(p, LR, 0.9, form="velocity"),
    rmsprop: lambda p: optim.RMSprop(p, LR),
    adam: lambda p: optim.Adam(p, LR),
    momentum_of_report_002: lambda p: optim.SGD(p, LR, 0.9),
    adam_of_report_003: lambda p: optim.Adam(p, LR, eps=1e-7),
    momentum_of_report_004: lambda p: optim.SGD(p, LR, 0.9, form="averaged"),
}
PENALTIES = {
    "none": (None, lambda w: 0 * w),
    "2 lambda w": (nn.L2Penalty(0.01), lambda w: 2 * 0.01 * w),
    "lambda w": (nn.L2Penalty(0.01, half=True), lambda w: 0.01 * w),
    "lambda sign w": (nn.L1Penalty(0.01), lambda w: 0.01 * np.sign(w)),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@given(net=networks(most_hidden=2), penalty=st.sampled_from(sorted(PENALTIES)))
def test_five_steps_of_a_rule(rule, net, penalty):
    term, decay = PENALTIES[penalty]
    model, start = net.model(), [list(layer) for layer in net.layers]
    optimizer = RULES[rule](model.parameters())
    memories = [[{}, {}] for _ in net.layers]
    for t in range(1, 6):
        optimizer.zero_grad()
        loss = net.our_error(model)
        (loss if term is None else loss + term(model)).backward()
        optimizer.step()
        train_by_hand(net, rule, decay, memories, t)
    assert_equal([p.data for p in model.parameters()], net.layers, start)


def train_by_hand(net, rule, decay, memories, t):
    """One step; biases are not decayed."""
    for layer, found, memory in zip(net.layers, net.gradients(), memories, strict=True):
        found[0] = found[0] + decay(layer[0])
        for i, g in enumerate(found):
            # a gradient that rounding alone made is no ground for a step of full size
            assume("adam" not in rule.__name__ or not np.any((g != 0) & (np.abs(g) < 1e-7)))
            layer[i] = rule(layer[i], g, memory[i], t)


@given(net=networks(most_hidden=2))
def test_five_steps_of_report_004_with_its_decay_outside_the_momentum(net):
    """w <- w - alpha v - alpha lambda 2 w: the penalty has an optimizer of its own."""
    model, start = net.model(), [list(layer) for layer in net.layers]
    penalty = nn.L2Penalty(0.01)
    weights = [p for p in model.parameters() if p.ndim > 1]
    averaged = optim.SGD(model.parameters(), LR, 0.9, form="averaged")
    plain = optim.SGD(weights, LR)
    memories = [[{}, {}] for _ in net.layers]
    for t in range(1, 6):
        averaged.zero_grad()
        penalty(model).backward()
        decay = [p.grad for p in weights]
        averaged.zero_grad()
        net.our_error(model).backward()
        averaged.step()
        for p, g in zip(weights, decay, strict=True):
            p.grad = g
        plain.step()
        for layer, found, memory in zip(net.layers, net.gradients(), memories, strict=True):
            outside = LR * 2 * 0.01 * layer[0]
            for i, g in enumerate(found):
                layer[i] = momentum_of_report_004(layer[i], g, memory[i], t)
            layer[0] = layer[0] - outside
    assert_equal([p.data for p in model.parameters()], net.layers, start)
