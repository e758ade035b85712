"""The test matrix: what is registered is tested because it is registered."""

import contextlib
import importlib
import pkgutil

import cases_matrices  # noqa: F401  (fills the table)
import cases_movement  # noqa: F401  (likewise)
import cases_networks  # noqa: F401  (likewise)
import cases_sequences  # noqa: F401  (likewise)
import cases_special  # noqa: F401  (likewise)
import numpy as np
import pytest
from cases import CASES, name_of
from watch import differentiate, forward, freeze, seed_like, watched

import tinygrad_fm as tg
from tinygrad_fm.engine import declared, layout_of, registry, rewrites, topological
from tinygrad_fm.testing import ProtocolArray, check_grads
from tinygrad_fm.trees import leaves

for module in pkgutil.walk_packages(tg.__path__, "tinygrad_fm."):
    if not module.name.endswith(("__main__", "cli")):
        with contextlib.suppress(ImportError):  # a room whose optional dependency is not installed
            importlib.import_module(module.name)
# every primitive by its key: the function of NumPy's, or itself
REGISTRY = {**registry, **{p: p for p in sorted(declared, key=lambda p: p.name)}}


def is_ours(key):
    """Whether the library registered it, and not another test."""
    made = REGISTRY[key]
    rules = [rule for rule in (*made.rules, made.variadic, made.joint) if rule is not None]
    return all(rule.__module__.startswith("tinygrad_fm.") for rule in rules)


OURS = [key for key in REGISTRY if is_ours(key)]
ALL = [case for rows in CASES.values() for case in rows]
CONSTANT = [c for c in ALL if c.key in REGISTRY and not REGISTRY[c.key].differentiable]
DIFFERENTIABLE = [c for c in ALL if c not in CONSTANT]

# what comes out has a shape, or is computed in a way, that the numbers decide
LOOKS_AT_NUMBERS = (np.linalg.lstsq, np.extract, np.piecewise)

each_case = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda c: c.label)
each_constant = pytest.mark.parametrize("case", CONSTANT, ids=lambda c: c.label)


# ---- the table is complete ---------------------------------------------------------------------


@pytest.mark.parametrize("key", [*OURS, *rewrites], ids=name_of)
def test_what_is_registered_has_a_case(key):
    names = {name_of(k) for k in CASES}
    assert key in CASES or name_of(key) in names, (
        f"{name_of(key)} is registered without a case; add a line to tests/rules/cases.py"
    )


def test_the_rule_of_every_argument_is_reached():
    reached = set()
    for case in DIFFERENTIABLE:
        y, _ = forward(case)
        with watched(y, lambda p, i, g, h: reached.add((p, 0 if p.variadic else i))):
            y.backward(seed_like(y))
    primitives = [REGISTRY[key] for key in OURS]
    wanted = {(p, i) for p in primitives for i, rule in enumerate(p.rules) if rule}
    wanted |= {(p, 0) for p in primitives if p.variadic}
    assert wanted <= reached, f"no case reaches {wanted - reached}"


# ---- the numbers are right ---------------------------------------------------------------------


@each_case
def test_first_derivatives(case):
    report = check_grads(case.function, *case.args, order=1, modes=("rev",))
    assert not report.kinks, "move the case's arguments away from kinks"


@each_case
def test_second_derivatives(case):
    report = check_grads(case.function, *case.args, order=2, modes=("rev",))
    assert not report.kinks


@each_case
def test_forward_mode(case):
    check_grads(case.function, *case.args, order=2, modes=("fwd",))


@each_case
def test_a_recorded_backward_pass_gives_the_same_bits(case):
    _, plain = differentiate(case)
    _, recorded = differentiate(case, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@each_case
def test_a_compiled_program_gives_the_same_bits(case):
    """Numbers from a program: the first two calls run the step itself, and the others do not."""
    seed = seed_like(forward(case)[0])

    def step(*floats):
        y, pull = tg.vjp(lambda *xs: case(*_placed(case.args, case.floats, xs)), *floats)
        return y, pull(seed)

    floats = [case.args[i] for i in case.floats]
    expected = [np.asarray(t.data) for t in leaves(step(*map(tg.Tensor, floats)))]
    compiled = tg.compile(step)
    if case.key in LOOKS_AT_NUMBERS or case.label == "getitem[18:3x4]":  # x[x > 0.5]
        with pytest.raises(tg.TraceError, match=r"every later call|the numbers decide"):
            compiled(*floats)
        return
    for _ in range(4):
        found = leaves(compiled(*floats))
    assert compiled.program
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b.data, strict=True)


def _placed(given, places, values):
    given = list(given)
    for i, value in zip(places, values, strict=True):
        given[i] = value
    return given


@each_case
def test_the_result_is_numpys(case):
    y, _ = forward(case)
    np.testing.assert_allclose(y.data, _plain(case), rtol=1e-13)  # einsum may add in another order


def _plain(case):
    return np.asarray(case(*[a.copy() if isinstance(a, np.ndarray) else a for a in case.args]))


# ---- dtypes, shapes, memory --------------------------------------------------------------------


def as_float32(case):
    return [a.astype(np.float32) if i in case.floats else a for i, a in enumerate(case.args)]


@each_case
def test_float32_stays_float32(case):
    arguments = as_float32(case)
    y, tensors = forward(case, arguments=arguments)
    assert y.dtype == np.asarray(case(*arguments)).dtype

    def same_dtype(primitive, i, g, h):
        g = g[0] if isinstance(g, tuple) else g
        assert h.dtype in (g.dtype, np.float32), f"the rule of {primitive.name} gave {h.dtype}"

    with watched(y, same_dtype):
        y.backward(seed_like(y))
    assert {t.grad.dtype for t in tensors if t.grad is not None} == {np.dtype(np.float32)}


@each_case
def test_float64_constants_leave_a_float32_gradient_alone(case):
    for i, narrow in zip(case.floats, (as_float32(case)[i] for i in case.floats), strict=True):
        arguments = [tg.Tensor(a) if k in case.floats else a for k, a in enumerate(case.args)]
        arguments[i] = x = tg.Tensor(narrow, requires_grad=True)
        y = case(*arguments) * 2
        if y.requires_grad:
            (y * np.full(y.shape, 2.0)).sum().backward()
            assert x.grad.dtype == np.float32


@each_case
def test_a_non_ufunc_rule_returns_the_exact_shape(case):
    y, tensors = forward(case)
    shapes = {
        (node.primitive, i, parent.shape)
        for node in topological([y.node])
        for i, parent in enumerate(node.inputs)
        if hasattr(parent, "shape")
    }

    def exact(primitive, i, g, h):
        assert primitive.elementwise or (primitive, i, h.shape) in shapes

    with watched(y, exact):
        y.backward(seed_like(y))
    assert all(t.grad is None or t.grad.shape == t.shape for t in tensors)


@each_case
def test_nothing_is_changed_in_place(case):
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in case.args]
    for a in arguments:
        freeze(a)
    y, _ = forward(case, arguments=arguments)
    seed = seed_like(y)
    freeze(seed)
    with watched(y, lambda *_: None):  # freezes what every rule receives
        y.backward(seed)


@each_case
def test_fortran_order_is_kept(case):
    arguments = [np.array(a, order="F") if i in case.floats else a for i, a in enumerate(case.args)]

    def of_floats(*floats):
        given = list(arguments)
        for i, value in zip(case.floats, floats, strict=True):
            given[i] = value
        return case(*given)

    floats = [arguments[i] for i in case.floats]
    y, pull = tg.vjp(of_floats, *floats)
    for x, g in zip(floats, pull(seed_like(np.asarray(y))), strict=True):
        assert layout_of(x) == layout_of(g)


# ---- other arrays than NumPy's -----------------------------------------------------------------


@pytest.mark.parametrize("case", [c for c in DIFFERENTIABLE if not c.plain], ids=lambda c: c.label)
def test_any_array_that_speaks_the_protocols_will_do(case):
    _, expected = differentiate(case)
    _, found = differentiate(case, wrap=ProtocolArray)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b.numpy(), strict=True)


# ---- constants ---------------------------------------------------------------------------------


@each_constant
def test_constants_are_recorded_without_gradient(case):
    y, _ = forward(case)
    assert y.node is not None
    assert y.node.primitive is REGISTRY[case.key] or case.key is np.empty_like
    assert not y.requires_grad
    np.testing.assert_array_equal(y.data, _plain(case), strict=True)
