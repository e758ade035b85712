"""The backward pass: what it returns, what it keeps, what it frees, and how deep it goes."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import GraphError, Tensor, functional


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype=dtype), requires_grad=True)


def test_gradient_of_a_scalar():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0, 6.0])


def test_gradients_accumulate_over_calls():
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [9.0, 9.0])


def test_an_older_gradient_is_not_changed_by_a_later_pass():
    x = leaf(1.0, 2.0)
    (3 * x).sum().backward()
    before = x.grad
    (3 * x).sum().backward()
    np.testing.assert_array_equal(before, [3.0, 3.0])


def test_a_tensor_used_many_times_receives_every_share():
    x = leaf(2.0)
    y = x * x + x * x * x + x
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [2 * 2 + 3 * 4 + 1])


def test_backward_of_several_elements_needs_a_gradient_of_its_shape():
    x = leaf(1.0, 2.0)
    y = x * 2
    with pytest.raises(ValueError, match=r"needs gradient=.*sum\(\)\.backward"):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\)"):
        y.backward(np.ones(3))
    y.backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad, [2.0, 20.0])


def test_backward_without_a_graph_says_why():
    with pytest.raises(GraphError, match="requires a gradient"):
        Tensor([1.0]).backward()
    with pytest.raises(GraphError, match="no_grad"):
        (leaf(1.0) > 0).backward()


def test_a_second_backward_through_a_freed_graph_is_an_error():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphError, match=r"freed.*retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_a_second_loss_over_a_freed_trunk_is_an_error():
    x = leaf(1.0, 2.0)
    trunk = np.exp(x)
    trunk.sum().backward()
    with pytest.raises(GraphError, match="freed"):
        (trunk * 2).sum().backward()


def test_a_retained_graph_gives_the_same_again():
    x = leaf(1.0, 2.0)
    y = np.tanh(x).sum()
    y.backward(retain_graph=True)
    first = x.grad.data.copy()
    y.backward()
    np.testing.assert_array_equal(x.grad, 2 * first)


def test_create_graph_gives_derivatives_of_every_order():
    x = leaf(2.0)
    y = (x**5).sum()
    expected = [5 * 2**4, 20 * 2**3, 60 * 2**2, 120 * 2]
    for value in expected:
        x.grad = None
        y.backward(create_graph=True)
        np.testing.assert_allclose(x.grad.data, [value])
        y = x.grad.sum()


def test_retain_grad_collects_the_gradient_of_a_result():
    x = leaf(1.0, 2.0)
    y = (x * 3).retain_grad()
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad, [6.0, 12.0])
    with pytest.raises(GraphError, match="requires no gradient"):
        Tensor([1.0]).retain_grad()


def test_a_hook_sees_and_replaces_the_gradient():
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    remove = y.register_hook(lambda g: seen.append(g.data.copy()) or g * 10)
    y.sum().backward()
    np.testing.assert_array_equal(seen, [[1.0, 1.0]])
    np.testing.assert_array_equal(x.grad, [30.0, 30.0])
    remove()
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_a_hook_that_returns_another_shape_is_refused():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError, match=r"hook returned .*\(\)"):
        (x * 3).sum().backward()


def test_a_leaf_gradient_is_owned_and_writable():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.ones(2)
    (x + y).backward(seed)
    x.grad.data[...] = 7  # add hands one array to both, and sum a read-only view
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])
    z = leaf(1.0, 2.0)
    z.sum().backward()
    z.grad.data[0] = 5


def test_detach_cuts_the_graph():
    x = leaf(3.0)
    (x * x.detach()).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0])


def test_recorded_is_not_requires_grad():
    x = leaf(1.0, -2.0)
    for result in (x > 0, np.argmax(x), np.round(x), x.astype(int), np.zeros_like(x), x == x):
        assert result.node is not None
        assert not result.requires_grad


def test_no_grad_is_per_thread():
    x = leaf(1.0)
    recorded = []
    with tg.no_grad():
        assert (x * 2).node is None
        thread = threading.Thread(target=lambda: recorded.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        with tg.enable_grad():
            assert (x * 2).requires_grad
    assert recorded == [True]
    assert tg.is_grad_enabled()


def test_no_grad_ends_with_an_exception_too():
    with pytest.raises(RuntimeError), tg.no_grad():
        raise RuntimeError
    assert tg.is_grad_enabled()


def test_a_million_operations_do_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward(np.ones(1))
    np.testing.assert_array_equal(x.grad, [1.0])
    copied, restored = copy.deepcopy(x), pickle.loads(pickle.dumps(x))
    assert copied.requires_grad
    assert restored.requires_grad
    np.testing.assert_array_equal(restored.grad, [1.0])
    del y


def test_a_graph_dies_by_reference_count_alone():
    gc.disable()
    try:
        x = leaf(*range(10))
        model = [leaf(2.0), leaf(3.0)]
        y = np.tanh(x * model[0]) + model[1]
        part = y[2:5].reshape(-1, 1)
        loss = (part * part).sum() + np.concatenate([y, y]).max()
        loss.backward(create_graph=True)
        nodes = [weakref.ref(t.node) for t in (y, part, loss)]
        arrays = [weakref.ref(y.data), weakref.ref(loss.data)]
        x.grad = model[0].grad = model[1].grad = None
        del y, part, loss
        assert all(ref() is None for ref in nodes + arrays)
    finally:
        gc.enable()


def test_backward_frees_what_the_nodes_kept():
    x = leaf(*np.linspace(0, 1, 100))
    y = np.exp(x)
    kept = weakref.ref(y.data)
    z = y.sum()
    del y
    assert kept() is not None
    z.backward()
    assert kept() is None


def test_a_node_keeps_only_what_a_rule_names():
    x = leaf(*range(10))
    a = x * 1.5
    kept = weakref.ref(a.data)
    b = a + 1.0  # add needs neither its arguments nor its result
    del a
    assert kept() is None
    b.sum().backward()


def test_a_copy_of_a_result_would_copy_its_graph_and_is_refused():
    y = leaf(1.0) * 2
    with pytest.raises(TypeError, match="detach"):
        copy.deepcopy(y)
    with pytest.raises(TypeError, match="detach"):
        pickle.dumps(y)


def test_a_step_between_forward_and_backward_is_an_error_not_a_wrong_gradient():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with tg.no_grad():
        x -= 0.5
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_changing_what_no_rule_needs_is_allowed():
    x = leaf(1.0, 2.0)
    y = (x + 1.0).sum()
    with tg.no_grad():
        x -= 0.5
    y.backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_several_results_with_only_one_used():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    _, second = np.split(x, 2)
    (second * second).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 6.0, 8.0])


def test_gradients_of_two_threads_do_not_mix():
    w = leaf(2.0)
    answers = {}

    def work(n):
        found = tg.grad(lambda v: (v**n).sum())(w.data)
        answers[n] = found[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n * 2.0 ** (n - 1) for n in range(1, 9)}


def test_memory_order_is_kept():
    x = Tensor(np.asfortranarray(np.arange(12.0).reshape(3, 4)), requires_grad=True)
    w = leaf(*range(4))
    (np.tanh(x) @ w).sum().backward()
    assert x.grad.flags.f_contiguous


def test_an_own_operation_with_its_rule():
    cube = tg.primitive(lambda x: x * x * x, lambda g, y, x: g * 3 * x * x, name="cube")
    x = leaf(2.0)
    cube(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [12.0])
    assert cube(np.array(2.0)) == 8
    assert tg.grad(tg.grad(lambda v: cube(v)))(2.0) == 12.0


def test_an_own_gradient():
    through = tg.custom_vjp(np.round, backward=lambda g, y, x: g)
    x = leaf(1.4, 2.6)
    (through(x) * x).sum().backward()
    np.testing.assert_allclose(x.grad, [1 + 1.4, 3 + 2.6])

    @tg.custom_vjp(backward=lambda g, y, a, b: (g, None))
    def first(a, b):
        return a + b

    a, b = leaf(1.0), leaf(2.0)
    first(a, b).sum().backward()
    assert b.grad is None
    with pytest.raises(ValueError, match="1 gradients for 2 arguments"):
        tg.custom_vjp(np.add, backward=lambda g, y, a, b: g)(a, b).sum().backward()


def test_a_rule_of_another_shape_is_an_error():
    wrong = tg.primitive(lambda x: x.sum(), lambda g, y, _x: g, name="wrong")
    with pytest.raises(ValueError, match=r"rule of wrong returned .*\(\) for .*\(2,\)"):
        wrong(leaf(1.0, 2.0)).backward()


def test_float32_with_a_float64_constant_has_a_float32_gradient():
    x = leaf(1.0, 2.0, dtype=np.float32)
    (x * np.array([1.0, 2.0])).sum().backward()
    assert x.grad.dtype == np.float32


def test_relu_is_not_an_alias_of_maximum_at_zero():
    assert tg.grad(functional.relu)(0.0) == 0.0
    assert tg.grad(lambda x: np.maximum(x, 0.0))(0.0) == 0.5


# ---- what changed in place, by whichever name --------------------------------------------------


def changes():
    """Programs that write, after the forward pass, into what the backward pass needs."""
    w = leaf(1.0, 2.0, 3.0)
    constant = Tensor(np.array([1.0, 2.0, 3.0]))

    def through_a_view():
        y = np.exp(w * 1.0)
        part = y[1:]
        loss = (part * 2).sum()
        with tg.no_grad():
            part[:] = 100.0
        return loss

    def through_a_detached_alias():
        loss = (w * w).sum()
        w.detach()[:] = 5.0
        return loss

    def a_constant():
        loss = (constant * w).sum()
        constant[0] = 7.0
        return loss

    def a_view_of_a_parameter():
        loss = (np.ones((1, 1)) @ w.reshape(1, 3) * w.reshape(1, 3)).sum()
        w.data = np.zeros(3)
        return loss

    def by_a_function():
        loss = (w * w).sum()
        with tg.no_grad():
            np.copyto(w, np.zeros(3))
        return loss

    def by_an_optimizer():
        optimizer = tg.optim.SGD([w], lr=0.1)
        loss = (w.reshape(3, 1) * w).sum()
        w.grad = Tensor(np.ones(3))
        optimizer.step()
        return loss

    return [
        through_a_view,
        through_a_detached_alias,
        a_constant,
        a_view_of_a_parameter,
        by_a_function,
        by_an_optimizer,
    ]


@pytest.mark.parametrize("i", range(6), ids=[f.__name__ for f in changes()])
def test_a_stale_graph_is_an_error_not_a_wrong_gradient(i):
    loss = changes()[i]()
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()


def test_changing_other_memory_is_no_change():
    buffer = np.zeros((2, 3))
    w = Tensor(buffer[0], requires_grad=True, copy=False)
    other = Tensor(buffer[1])
    loss = (w * w).sum()
    other[:] = 5.0
    loss.backward()
    np.testing.assert_array_equal(w.grad, [0.0, 0.0, 0.0])


def test_gradients_are_not_shared():
    a, b = leaf(1.0), leaf(2.0)
    a.register_hook(lambda g: g * 2)
    seed = np.ones(1)
    (a + b).backward(seed)
    np.testing.assert_array_equal([a.grad.data, b.grad.data, seed], [[2.0], [1.0], [1.0]])
    b.register_hook(lambda g: g.data.fill(7))
    with pytest.raises(ValueError, match="read-only"):
        (a + b).backward(seed)
    a, b = leaf(1.0), leaf(2.0)
    (a + b).backward(seed, create_graph=True)
    assert a.grad is not b.grad
    assert not np.shares_memory(a.grad.data, b.grad.data)


def test_threads_that_share_leaves_lose_no_gradient():
    w = leaf(1.0)

    def work():
        for _ in range(100):
            (w * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(w.grad, [400.0])


def test_retain_grad_follows_an_assignment():
    x = leaf(1.0, 2.0)
    y = (x * 2).retain_grad()
    y[0] = 5.0
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad, [10.0, 8.0])


def test_a_rule_that_is_missing_is_an_error_at_the_call():
    product = tg.primitive(lambda a, b: a * b, lambda g, y, _a, b: g * b, name="product")
    with pytest.raises(TypeError, match="product has no derivative rule for argument 1"):
        product(leaf(1.0), leaf(2.0))


def test_an_own_operation_refuses_what_its_rule_would_not_see():
    with pytest.raises(TypeError, match="by position"):
        functional.relu(x=leaf(1.0))


def test_second_derivatives_of_powers_at_exponent_zero():
    mixed = tg.grad(lambda b: tg.grad(lambda a: a**b)(2.0))
    np.testing.assert_allclose(mixed(0.0), 0.5)


def test_joining_thousands_of_parts_is_not_quadratic():
    parts = [leaf(float(i)) for i in range(3000)]
    np.concatenate(parts).sum().backward()
    assert all(p.grad is not None for p in parts)
