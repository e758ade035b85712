"""Tensor as an array: construction, NumPy's protocols, conversions, assignment, errors."""

import math

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import GraphError, Tensor


def leaf(*values):
    return Tensor(np.array(values, dtype=float), requires_grad=True)


def test_dtype_is_kept_and_lists_follow_numpy():
    assert Tensor(np.ones(2, np.float32)).dtype == np.float32
    assert Tensor([1.0, 2.0]).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.array([1, 2]).dtype
    assert Tensor([1, 2], dtype=np.float32).dtype == np.float32


def test_a_tensor_that_requires_grad_owns_its_array_and_any_other_shares():
    array = np.ones(2)
    assert Tensor(array).data is array
    assert not np.shares_memory(Tensor(array, requires_grad=True).data, array)
    assert np.shares_memory(Tensor(array, requires_grad=True, copy=False).data, array)


@pytest.mark.parametrize(
    ("data", "message"),
    [(["a", "b"], "holds numbers"), (None, "holds numbers"), ({"a": 1}, "holds numbers")],
)
def test_what_is_no_array_of_numbers_is_refused(data, message):
    with pytest.raises(TypeError, match=message):
        Tensor(data)


def test_integers_cannot_require_a_gradient():
    with pytest.raises(TypeError, match=r"float dtype, not int64.*1\.0 instead of 1"):
        Tensor(np.array([1, 2], dtype=np.int64), requires_grad=True)


def test_operators_agree_with_ndarray():
    a, b = np.array([[1.5, -2.0], [3.0, 0.5]]), np.array([[2.0, 3.0], [0.5, -1.0]])
    t = Tensor(a)
    pairs = [
        (t + b, a + b), (b + t, b + a), (t - b, a - b), (b - t, b - a), (t * b, a * b),
        (t / b, a / b), (b / t, b / a), (t // b, a // b), (t % b, a % b), (t @ b, a @ b),
        (b @ t, b @ a), (t**2, a**2), (2**t, 2**a), (-t, -a), (abs(t), abs(a)), (+t, +a),
        (t > b, a > b), (t <= b, a <= b), (t == b, a == b), (t != b, a != b),
        (divmod(t, 2)[0], divmod(a, 2)[0]), (~(t > 0), ~(a > 0)),
        ((t > 0) & (t < 2), (a > 0) & (a < 2)),
    ]  # fmt: skip
    for ours, theirs in pairs:
        assert isinstance(ours, Tensor)
        np.testing.assert_array_equal(ours.data, theirs)
        assert ours.dtype == theirs.dtype


def test_methods_agree_with_ndarray():
    a = np.arange(12.0).reshape(3, 4)
    t = Tensor(a)
    calls = [
        ("sum", {}), ("sum", {"axis": 0}), ("mean", {"axis": 1, "keepdims": True}), ("max", {}),
        ("min", {"axis": 0}), ("std", {"ddof": 1}), ("var", {}), ("prod", {"axis": 0}),
        ("cumsum", {"axis": 1}), ("argmax", {"axis": 1}), ("argmin", {}), ("squeeze", {}),
        ("clip", {"min": 2, "max": 5}), ("ravel", {}), ("flatten", {}),
        ("copy", {}), ("tolist", {}), ("round", {}),
        ("all", {}), ("any", {"axis": 0}), ("argsort", {}),
    ]  # fmt: skip
    for name, options in calls:
        ours, theirs = getattr(t, name)(**options), getattr(a, name)(**options)
        np.testing.assert_array_equal(ours.data if isinstance(ours, Tensor) else ours, theirs)
    assert t.reshape(2, 6).shape == t.reshape((2, 6)).shape == (2, 6)
    assert t.reshape(-1).shape == (12,)
    assert t.T.shape == t.transpose(1, 0).shape == t.transpose((1, 0)).shape == t.mT.shape == (4, 3)
    assert t.swapaxes(0, 1).shape == (4, 3)
    assert (len(t), t.size, t.ndim, t.itemsize, t.nbytes) == (3, 12, 2, 8, 96)
    assert [row.shape for row in t] == [(4,)] * 3
    assert 5.0 in t


def test_a_function_of_ones_own_runs_unmodified():
    def network(x, w):
        hidden = np.maximum(np.dot(x, w), 0)
        return np.mean(np.exp(hidden) / np.sum(np.exp(hidden), axis=1, keepdims=True))

    x, w = np.ones((3, 2)), np.ones((2, 4))
    assert isinstance(network(x, w), float)
    result = network(Tensor(x), Tensor(w, requires_grad=True))
    assert result.requires_grad
    np.testing.assert_allclose(result.data, network(x, w))


def test_conversions_that_would_lose_a_graph_are_refused():
    x = leaf(2.0)
    scalar = x.sum()
    for convert in (
        float,
        int,
        np.asarray,
        math.exp,
        lambda t: np.array([t]),
        lambda t: [1, 2, 3][t],
    ):
        with pytest.raises(TypeError, match=r"item\(\).*detach\(\)"):
            convert(scalar)
    array = np.zeros(2)
    with pytest.raises(ValueError, match="array element") as caught:
        array[0] = scalar  # NumPy wraps what Tensor says
    assert "without losing its graph" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match=r"ambiguous.*np\.where"):
        bool(leaf(1.0, 2.0) > 0)
    assert bool(scalar > 1)
    assert scalar.item() == 2.0
    assert float(scalar.detach()) == 2.0
    assert float(Tensor(3.0)) == 3.0
    np.testing.assert_array_equal(np.asarray(Tensor([1.0])), [1.0])
    assert f"{scalar:.2f}" == "2.00"


def test_wrapping_a_recorded_tensor_is_refused():
    with pytest.raises(TypeError, match="lose the graph"):
        Tensor(leaf(1.0))


def test_assignment_is_recorded():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2
    y[1] = v[0] * 3
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.data, [2.0, 30.0, 6.0])
    np.testing.assert_array_equal(x.grad, [8.0, 0.0, 24.0])
    np.testing.assert_array_equal(v.grad, [180.0])


def test_assignment_of_a_recorded_value_into_a_plain_tensor():
    v = leaf(3.0)
    source = np.zeros(3)
    y = Tensor(source)
    y[1] = v[0]
    (y * 2).sum().backward()
    np.testing.assert_array_equal(v.grad, [2.0])
    np.testing.assert_array_equal(source, 0)


def test_a_later_write_to_the_same_element_takes_the_gradient():
    v = leaf(1.0, 2.0)
    y = Tensor(np.zeros(3)) * leaf(1.0)
    y[np.array([0, 0])] = v
    y.sum().backward()
    np.testing.assert_array_equal(v.grad, [0.0, 1.0])


def test_in_place_operators_bind_to_the_result():
    x = leaf(1.0, 2.0)
    y = x * 1.0
    alias = y
    y += 1
    y *= x
    assert alias is y
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [2.0, 6.0])
    np.testing.assert_array_equal(x.grad, [1 + 2 * 1, 1 + 2 * 2])


def test_adding_to_a_part_is_recorded():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2
    for i in range(3):
        y[i] += v[0] * i
    y[1:] *= 2
    y[np.array([0, 2])] -= 1
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.data, [1.0, 28.0, 51.0])
    np.testing.assert_array_equal(x.grad, [4.0, 28 * 8.0, 51 * 8.0])
    np.testing.assert_array_equal(v.grad, [2 * 28 * 2 + 2 * 51 * 4])


def test_changing_a_row_changes_the_matrix_as_in_numpy():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x * 1
    for row in y:
        row *= 2
        row += 1
    del row  # the last row is a living view, and y would refuse to change behind its back
    y[0][1] = 7.0
    y[1][2] += 1
    plain = np.arange(6.0).reshape(2, 3) * 2 + 1
    plain[0, 1] = 7
    plain[1, 2] += 1
    np.testing.assert_array_equal(y.data, plain)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [[2, 0, 2], [2, 2, 2]])


def test_adding_to_a_part_of_a_leaf_is_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match="leaf"):
        x[0] += 1.0
    with tg.no_grad():
        x[0] += 1.0
    np.testing.assert_array_equal(x.data, [2.0, 2.0])


def test_out_binds_a_tensor_and_refuses_an_array():
    x = leaf(1.0, 2.0)
    out = Tensor(np.zeros(2))
    assert np.exp(x, out=out) is out
    out.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp([1.0, 2.0]))
    with pytest.raises(TypeError, match="plain array"):
        np.exp(x, out=np.zeros(2))
    y = x * 2
    np.clip(y, 0, 3, out=y)
    np.testing.assert_array_equal(y.data, [2.0, 3.0])
    plain = np.zeros(2)
    assert np.exp(Tensor([0.0, 0.0]), out=plain) is plain
    np.testing.assert_array_equal(plain, [1.0, 1.0])


def test_overwriting_a_leaf_is_refused_where_it_is_recorded():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"leaf.*no_grad"):
        x += 1
    with pytest.raises(GraphError, match="leaf"):
        x[0] = 1.0
    with tg.no_grad():
        x += 1
        x[0] = 7.0
    np.testing.assert_array_equal(x.data, [7.0, 3.0])


def test_changing_a_tensor_with_a_living_view_is_refused():
    x = leaf(1.0, 2.0, 3.0) * 1.0
    turned = x.reshape(3, 1)
    with pytest.raises(GraphError, match="shares memory"):
        x[0] = 5.0
    with pytest.raises(GraphError, match="shares memory"):
        turned += 1
    del turned
    x[0] = 5.0
    y = (x * 2).reshape(3, 1)
    y += 1  # the Tensor it is a view of is gone
    assert y.shape == (3, 1)


def test_a_result_that_does_not_fit_in_place_is_refused():
    x = leaf(1.0, 2.0) * 1
    with pytest.raises(ValueError, match="does not fit in place"):
        x += np.ones((2, 2))
    whole = Tensor(np.array([1, 2]))
    with pytest.raises(TypeError, match="does not fit in place"):
        whole += 0.5
    with pytest.raises(TypeError, match="dtype=float"):
        whole[0] = x[0]


def test_assigning_data_copies_and_checks():
    x = leaf(1.0, 2.0)
    array = x.data
    x.data = [5.0, 6.0]
    assert x.data is array
    np.testing.assert_array_equal(array, [5.0, 6.0])
    with pytest.raises(ValueError, match=r"\(3,\) to \(2,\)"):
        x.data = np.ones(3)
    with pytest.raises(ValueError, match="gradient of shape"):
        x.grad = np.ones(3)


def test_a_tensor_as_a_keyword_is_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match=r"where its gradient would be lost|does not know"):
        np.sum(x, axis=Tensor(0))


def test_a_keyword_that_no_rule_knows_fails_at_the_forward_call():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match=r"sum does not know where="):
        np.sum(x, where=np.array([True, False]))
    with pytest.raises(TypeError, match="does not know"):
        np.exp(x, where=np.array([True, False]))
    with pytest.raises(TypeError, match="initial"):
        np.max(x, initial=3.0)
    np.testing.assert_array_equal(np.sum(x.detach(), where=np.array([True, False])).data, 1.0)


def test_a_function_without_a_rule_fails_at_the_forward_call():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match=r"np.union1d has no derivative rule.*near it: np.*defvjp"):
        np.union1d(x, x)
    with pytest.raises(TypeError, match="no derivative rule"):
        np.histogram(x)
    assert isinstance(np.union1d(x.detach(), x.detach()), Tensor)


def test_ufunc_methods_are_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"np\.add\.reduce.*np\.sum"):
        np.add.reduce(leaf(1.0, 2.0))
    assert np.add.reduce(Tensor([1.0, 2.0])).item() == 3.0


def test_a_shape_error_names_the_operation_and_aligns_the_shapes():
    with pytest.raises(
        ValueError, match=r"(?s)matmul: .*argument 0: \(2, 3\).*argument 1:\s+\(2,\)"
    ):
        Tensor(np.ones((2, 3))) @ np.ones(2)
    with pytest.raises(IndexError, match="getitem"):
        leaf(1.0)[3]


def test_an_operand_that_opts_out_answers_for_itself():
    class Other:
        __array_ufunc__ = None

        def __radd__(self, other):
            return "mine"

    assert leaf(1.0) + Other() == "mine"


def test_printing():
    assert repr(leaf(1.0)) == "Tensor([1.], requires_grad=True)"
    assert repr(leaf(1.0) * 2) == "Tensor([2.], op=multiply)"
    assert repr(Tensor(np.float32(2.0))) == "Tensor(2., dtype=float32)"


def test_a_tensor_is_a_key_by_identity():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert {x: 1, y: 2}[x] == 1


def test_complex_results_are_refused_in_differentiation():
    with pytest.raises(TypeError, match="real floats"):
        leaf(1.0) * 1j


def test_hooks_and_views_of_numpy_scalars():
    x = leaf(1.0, 2.0)
    loss = np.float64(2.0) * x.sum() + np.ones(1)[0]
    assert isinstance(loss, Tensor)
    assert loss.shape == ()
    assert isinstance(loss.data, np.ndarray)


def test_masked_and_matrix_arrays():
    with pytest.raises(TypeError, match="no mask"):
        Tensor(np.ma.array([1.0, 2.0], mask=[True, False]))
    kind = type("Kind", (np.ndarray,), {})
    assert type(Tensor(np.ones(2).view(kind)).data) is np.ndarray
    with pytest.raises(TypeError, match="losing its graph"):
        np.ma.array([1.0, 2.0]) * leaf(1.0, 2.0)


def test_a_fraction_is_refused_rather_than_cut_off():
    from fractions import Fraction

    with pytest.raises(TypeError, match="Fraction"):
        leaf(1.0) * Fraction(1, 2)


def test_out_with_where_keeps_what_is_masked():
    out = Tensor(np.full(3, 7.0))
    mask = np.array([True, False, True])
    np.divide(Tensor([1.0, 2.0, 3.0]), Tensor([2.0, 0.0, 4.0]), out=out, where=mask)
    np.testing.assert_array_equal(out.data, [0.5, 7.0, 0.75])
    with pytest.raises(TypeError, match=r"np\.where\(mask"):
        np.divide(leaf(1.0, 2.0, 3.0), 2.0, out=out, where=mask)


def test_no_grad_can_be_entered_again_and_decorates():
    off = tg.no_grad()
    with off, off:
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    assert not tg.no_grad()(tg.is_grad_enabled)()


def test_an_error_of_the_users_own_keeps_its_kind():
    class MyError(ValueError):
        def __init__(self, a, b):
            super().__init__(a, b)

    def fails(x):
        raise MyError(1, 2)

    with pytest.raises(MyError) as caught:
        tg.primitive(fails, lambda g, y, x: g)(leaf(1.0))
    assert "fails" in caught.value.__notes__[0]
