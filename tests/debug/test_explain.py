"""explain tells the chain rule as it is: its formulas compute what the rules do, on every way."""

import re
import warnings

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import engine, functional, nn
from tinygrad_fm.debug.formulas import FORMULAS, as_latex, as_text
from tinygrad_fm.functional.normalization import centre, mean_square


@pytest.fixture(scope="module")
def network():
    """A network of three layers with its loss, and the gradient of its first weights."""
    sizes = [(784, 128), (128, 64), (64, 10)]
    layers = [nn.Linear(*size, rng=i) for i, size in enumerate(sizes)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    rng = np.random.default_rng(0)
    images = rng.normal(size=(32, 784)).astype(np.float32)
    loss = nn.CrossEntropyLoss()(model(images), rng.integers(0, 10, 32))
    return model, loss


def leaf(*shape, name=None, seed=0):
    x = np.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return tg.Tensor(x, requires_grad=True, name=name)


# ---- formulas ------------------------------------------------------------------------------------


class Factor(np.ndarray):
    """An array for which % is a product as formulas write it, without a sign."""

    def __mod__(self, other):
        both = np.ndim(self) == 2 and np.ndim(other) == 2
        return self @ other if both else self * other

    def __rmod__(self, other):
        return other * self


def factor(value):
    return np.asarray(value, float).view(Factor)


NAMES = {
    "sigmoid": functional.sigmoid,
    "softmax": functional.softmax,
    "mean": lambda a: np.mean(a, axis=0, keepdims=True),
    "var": lambda a: np.var(a, axis=0, keepdims=True),
    **{name: getattr(np, name) for name in ("exp", "log", "sin", "cos", "sinh", "cosh")},
    **{name: getattr(np, name) for name in ("sqrt", "sign", "tanh")},
    "row_sum": lambda a: np.sum(a, axis=-1, keepdims=True),
}


def evaluated(formula, g, y, args, n=1):
    """The number that a formula stands for, its signs turned into Python's."""
    text = re.sub(r"\d/<n>", lambda m: f"({m[0][0]} / {n})", formula)
    text = re.sub(r"Σ'rows' <g>", "np.sum(<g>, axis=0)", text)
    text = re.sub(r"Σ'row' (<g> ⊙ <y>|<g>)", r"row_sum(\1)", text)
    text = text.replace("'repeated'", "").strip()
    text = re.sub(r"1\[([^]]*)\]", r"indicator(\1)", text.replace(" = ", " == "))
    text = re.sub(r"\^\{([^}]*)\}", r"**(\1)", text)
    signs = {"⊙": "*", "ᵀ": ".T", "²": "**2", "≤": "<=", "½": "0.5", "ε": "1e-5"}
    for sign, python in signs.items():
        text = text.replace(sign, python)
    text = re.sub(r"<(\w)>", r"v_\1", text)
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " % ", text)  # products without a sign
    values = {f"v_{i}": factor(a) if np.ndim(a) else a for i, a in enumerate(args)}
    scope = {**NAMES, **values, "v_g": factor(g), "v_y": factor(y), "np": np}
    scope["indicator"] = lambda c: factor(np.asarray(c, float))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.asarray(eval(text, {"__builtins__": {}}, scope))


def matrix(seed, low=0.2, high=0.9):
    return np.random.default_rng(seed).uniform(low, high, (3, 3))


SPECIAL = {
    "linear": (functional.linear, [matrix(0), matrix(1), matrix(2)[0]]),
    "leaky_relu": (functional.leaky_relu, [matrix(0) - 0.5, 0.01]),
    "elu": (functional.elu, [matrix(0) - 0.5, 2.0]),
    "relu": (functional.relu, [matrix(0) - 0.5]),
    "absolute": (np.abs, [matrix(0) - 0.5]),
    "fabs": (np.fabs, [matrix(0) - 0.5]),
    "power": (lambda a, b: a**b, [matrix(0), matrix(1)]),
    "where": (np.where, [matrix(0) > 0.5, matrix(1), matrix(2)]),
    "centre": (lambda x: centre(x, (0,)), [matrix(0)]),
    "mean_square": (lambda x: mean_square(x, (0,)), [matrix(0)]),
    "var": (lambda x: np.var(x, axis=0, keepdims=True), [matrix(0)]),
    "std": (lambda x: np.std(x, axis=0, keepdims=True), [matrix(0)]),
    "mean": (lambda x: np.mean(x, axis=0, keepdims=True), [matrix(0)]),
    "maximum": (np.maximum, [np.array([1.0, 2, 3]), np.array([2.0, 2, 2])]),
    "minimum": (np.minimum, [np.array([1.0, 2, 3]), np.array([2.0, 2, 2])]),
    "cross_entropy": None,  # has a test of its own
    "argument": None,  # inside a transform only
    "astype": None,  # a dtype is no formula
}


def computable():
    """Formulas that say all in signs; the others describe a movement in words."""
    for name, formula in FORMULAS.items():
        for i, rule in enumerate(formula.gradients):
            words = re.findall(r"'([^']*)'", rule)
            if rule and set(words) <= {"row", "rows", "repeated"} and SPECIAL.get(name, 1):
                yield pytest.param(name, i, rule, id=f"{name}-{i}")


@pytest.mark.parametrize(("name", "i", "rule"), list(computable()))
def test_a_formula_computes_what_the_rule_does(name, i, rule):
    function, args = SPECIAL.get(name, (None, None))
    if function is None:
        function = getattr(functional, name, None) or getattr(np, name)
        count = 2 if isinstance(function, np.ufunc) and function.nin == 2 else 1
        args = [matrix(k) for k in range(count)]
    tensors = [
        tg.Tensor(a, requires_grad=True) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in args
    ]
    y = function(*tensors)
    assert y.node.name == name
    g = np.random.default_rng(9).normal(size=y.shape)
    y.backward(g)
    n = args[0].size / y.size if np.ndim(args[0]) else 1
    found = evaluated(rule, g, y.data, args, n)
    expected = tensors[i].grad.data
    np.testing.assert_allclose(np.broadcast_to(found, expected.shape), expected, rtol=1e-12)


def test_formulas_of_the_cross_entropy_compute_what_the_rules_do(network):
    logits = leaf(4, 3)
    labels = np.array([0, 2, 1, 1])
    functional.cross_entropy(logits, labels).backward()
    targets = np.eye(3)[labels]
    merged = (functional.softmax(logits.data) - targets) / 4
    np.testing.assert_allclose(logits.grad, merged, rtol=1e-12)


def test_every_formula_is_valid_in_both_notations():
    for formula in FORMULAS.values():
        for template in (formula.forward, *formula.gradients):
            assert "'" not in as_text(template)
            latex = as_latex(template)
            assert latex.isascii(), latex
            assert latex.count("{") == latex.count("}")
            assert latex.count("(") == latex.count(")")


# ---- what a student reads ------------------------------------------------------------------------


def test_the_steps_of_a_network_are_those_of_a_textbook(network):
    model, loss = network
    text = str(tg.explain(loss, model[0].weight))
    for equation in (
        "A1 = X W1 + b1",
        "A2 = max(A1, 0)",
        "A6 = log(softmax(A5))",
        "L = -(1/32) Σ T ⊙ A6",
        "1. dL = 1",
        "2. dA6 = -(1/32) dL T",
        "dA5 = (1/32) (softmax(A5) - T)",
        "4. dA4 = dA5 W3ᵀ",
        "5. dA3 = dA4 ⊙ 1[A4 > 0]",
        "6. dA2 = dA3 W2ᵀ",
        "7. dA1 = dA2 ⊙ 1[A2 > 0]",
        "8. dW1 = Xᵀ dA1",
        "dW1 = Xᵀ ((((((1/32) (softmax(A5) - T)) W3ᵀ) ⊙ 1[A4 > 0]) W2ᵀ) ⊙ 1[A2 > 0])",
    ):
        assert equation in text
    assert len(text.splitlines()) < 60  # a page


def test_shapes_modules_and_lines_are_real(network):
    model, loss = network
    text = str(tg.explain(loss, model[0].weight))
    assert "by W1, which is 0.weight (784 × 128)" in text
    assert "(784 × 32)(32 × 128)" in text
    assert "linear, in Sequential > 0 (Linear), at " in text
    assert "cross_entropy, in CrossEntropyLoss, at " in text
    assert "test_explain.py:" in text
    assert ": loss = nn.CrossEntropyLoss()(model(images), rng.integers" in text


def test_the_formula_put_together_is_the_gradient(network):
    model, loss = network
    w1, w2, w3 = (model[i].weight.data.astype(float) for i in (0, 2, 4))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 784)).astype(np.float32).astype(float)
    t = np.eye(10)[rng.integers(0, 10, 32)]
    a2 = np.maximum(x @ w1, 0)  # the biases are 0 at first
    a4 = np.maximum(a2 @ w2, 0)
    a5 = a4 @ w3
    by_hand = x.T @ (
        (((((1 / 32) * (functional.softmax(a5) - t)) @ w3.T) * (a4 > 0)) @ w2.T) * (a2 > 0)
    )
    norm = re.findall(r"8\. dW1 = .* norm (\S+)", str(tg.explain(loss, model[0].weight)))[0]
    np.testing.assert_allclose(float(norm), np.linalg.norm(by_hand), rtol=1e-3)


def test_norms_are_those_of_the_gradients_of_every_step():
    w, x = leaf(3, 3, name="W"), np.ones((2, 3))
    hidden = np.tanh(x @ w).retain_grad()
    loss = np.sum(hidden**2)
    text = str(tg.explain(loss, w))
    assert w.grad is None
    assert hidden.grad is None
    loss.backward()
    found = [float(number) for number in re.findall(r"norm (\S+)", text)]
    expected = [np.linalg.norm(t.grad.data) for t in (hidden, w)]
    np.testing.assert_allclose([found[2], found[-1]], expected, rtol=1e-3)


def test_a_result_that_is_used_twice_has_a_sum():
    w = leaf(3, 3, name="W")
    hidden = np.ones((2, 3)) @ w
    text = str(tg.explain(np.sum(np.tanh(hidden) + hidden), w))
    assert "dA1 = dA3 + dA2 ⊙ (1 - A2²)" in text
    assert "a sum, for it was used 2 times:" in text
    assert "Put together" not in text


def test_only_what_signs_can_say_is_put_together():
    w = leaf(3, 3, name="W")
    hidden = np.reshape(np.tanh(np.ones((2, 3)) @ w), (3, 2))
    text = str(tg.explain(np.sum(hidden**2), w))
    assert "dA2 = dA3 reshaped back" in text
    assert text.endswith("dW = Xᵀ (dA2 ⊙ (1 - A2²))")


def test_shared_weights_have_a_sum_with_a_term_for_each_use():
    w = leaf(3, 3, name="W")
    text = str(tg.explain(np.sum(np.tanh(np.ones((2, 3)) @ w) @ w), w))
    assert "dW = A2ᵀ dA3 + Xᵀ dA1" in text
    assert "with the gradient of step 2; (3 × 2)(2 × 3)" in text


def test_undone_broadcasting_is_a_sum():
    b = leaf(3, name="b")
    text = str(tg.explain(np.sum(np.ones((4, 3)) * b), b))
    assert "db = Σ_repeats (dA ⊙ C)" in text
    assert "summed back from 4 × 3 to 3" in text


def test_an_operation_without_a_formula_shows_its_rule():
    x = leaf(3, name="x")
    text = str(tg.explain(np.sum(np.arctan2(x, 2.0)), x))
    assert "A = arctan2(x, 2)" in text
    assert "dx = the rule of arctan2 of dA" in text
    assert re.search(r"the rule: .*elementwise\.py:\d+: lambda g, _y, a, b: g \*", text)


def test_an_operation_of_the_users_own_keeps_its_own_rule():
    relu = engine.primitive(lambda x: x * 3, lambda g, _y, _x: g * 3, name="relu")
    x = leaf(3, name="x")
    text = str(tg.explain(np.sum(relu(x)), x))
    assert "max(" not in text
    assert "lambda g, _y, _x: g * 3" in text


def test_several_results_and_indices_are_told():
    x = leaf(4, 2, name="x")
    first, _ = np.split(x[1:, 0] * np.ones(3), [1])
    text = str(tg.explain(np.sum(first), x))
    assert "A1 = x[1:, 0]" in text
    assert "one of" in text


def test_after_the_backward_pass_all_but_the_norms_is_told():
    w = leaf(3, 3, name="W")
    loss = np.sum(np.tanh(np.ones((2, 3)) @ w))
    before = str(tg.explain(loss, w))
    loss.backward()
    after = str(tg.explain(loss, w))
    assert "norm" in before
    assert "Norms are left out: the graph was freed by a backward pass" in after
    assert re.findall(r"\d\. (.*?)  ", after) == re.findall(r"\d\. (.*?)  ", before)


def test_a_changed_array_leaves_the_norms_out():
    w = leaf(3, name="W")
    loss = np.sum(w * w)
    with tg.no_grad():
        w[0] = 9.0
    assert "changed in place since" in str(tg.explain(loss, w))


def test_hooks_are_not_called():
    w = leaf(3, name="W")
    y = w * 2
    y.register_hook(lambda g: pytest.fail("called"))
    tg.explain(np.sum(y), w)


def test_a_loss_may_be_the_parameter_or_use_it_directly():
    w = leaf(1, name="w")
    assert "dL = 1" in str(tg.explain(w, w))
    assert "dw = 2 dL ⊙ w" in str(tg.explain(w**2, w))


def test_a_result_on_the_way_may_be_asked_for():
    w = leaf(3, 3, name="W")
    hidden = np.ones((2, 3)) @ w
    assert "dH = 2 dA ⊙ H" in str(tg.explain(np.sum(hidden**2), hidden))


def test_weights_and_biases_are_called_so_whatever_uses_them():
    model = nn.Conv2d(1, 2, 3, rng=0)
    text = str(tg.explain(np.sum(model(np.ones((1, 1, 4, 4), np.float32))), model.weight))
    assert re.search(r"b +2 +bias", text)
    assert re.search(r"W +2 × 1 × 3 × 3 +weight", text)


def test_a_long_chain_is_explained_without_recursion():
    x = y = leaf(1, name="x")
    for _ in range(3000):
        y = y * 1.0001
    text = str(tg.explain(y, x))
    assert "3001. dx = dA1 ⊙ 1.0001" in text


# ---- Markdown ------------------------------------------------------------------------------------


def test_markdown_holds_the_same_steps_in_latex(network):
    model, loss = network
    text = tg.explain(loss, model[0].weight).to_markdown()
    for formula in (
        r"$\displaystyle \mathrm{d}W_{1} = X^\top \mathrm{d}A_{1}$",
        r"\mathrm{d}A_{3} = \mathrm{d}A_{4} \odot \mathbb{1}[A_{4} > 0]",
        r"$L = -\tfrac{1}{32} \sum T \odot A_{6}$",
        r"\tfrac{1}{32} (\operatorname{softmax}(A_{5}) - T)",
    ):
        assert formula in text
    assert "| 32 × 128 |" in text
    assert "784 × 128, norm " in text


def test_all_latex_is_ascii_and_balanced(network):
    model, loss = network
    text = tg.explain(loss, model[0].weight).to_markdown()
    formulas = re.findall(r"\$+([^$]+)\$+", text)
    assert len(formulas) > 20
    for formula in formulas:
        assert formula.isascii(), formula
        assert formula.count("{") == formula.count("}"), formula


def test_names_with_markup_stay_words():
    w = leaf(3, name="a_b*c|d")
    text = tg.explain(np.sum(w**2), w).to_markdown()
    assert r"a\_b\*c|d" in text


def test_a_notebook_shows_markdown_and_never_an_error(network, monkeypatch):
    model, loss = network
    found = tg.explain(loss, model[4].bias)
    assert found._repr_markdown_() == found.to_markdown()
    monkeypatch.setattr(type(found), "to_markdown", lambda self: 1 / 0)
    assert found._repr_markdown_() is None


# ---- why there is no way -------------------------------------------------------------------------


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="as parameter, not 3"):
        tg.explain(leaf(1), 3)


def test_a_frozen_parameter_is_named():
    w = tg.Tensor([1.0], name="w")
    with pytest.raises(ValueError, match=r"'w', which is frozen.*requires_grad_\(\)"):
        tg.explain(leaf(1) * w, w)


def test_a_loss_without_a_graph_is_named():
    w = leaf(3)
    with pytest.raises(ValueError, match=r"shape \(3,\): the loss is not recorded"):
        tg.explain(np.sum(w).detach(), w)


def test_a_parameter_that_was_not_used_or_detached_is_named():
    w, v = leaf(3, name="w"), leaf(3, name="v")
    with pytest.raises(ValueError, match="'v': nothing that was computed from it is in the loss"):
        tg.explain(np.sum(w * v.detach()), v)


def test_operations_without_a_derivative_are_named_with_their_line():
    w, v = leaf(3, name="w"), leaf(3, name="v")
    loss = np.sum(np.where(v > 1, w, 0) * np.sign(v))
    with pytest.raises(ValueError, match=r"greater \(argument 0, at .*sign \(argument 0, at "):
        tg.explain(loss, v)
