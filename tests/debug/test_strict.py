"""A write to what the backward pass needs: an error that names who kept it and who wrote."""

import gc
import traceback

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import GraphError, nn, optim
from tinygrad_fm.debug import strict


@pytest.fixture
def x():
    return np.array([1.0, 2.0, 3.0])


@pytest.fixture
def w():
    return tg.Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True, name="w")


def test_a_write_to_a_kept_array_fails_at_the_write(x, w):
    with strict():
        loss = np.sum(w * x)
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 5.0
    loss.backward()
    np.testing.assert_array_equal(w.grad, [1.0, 2.0, 3.0])


def test_without_the_mode_such_a_write_goes_unnoticed(x, w):
    loss = np.sum(w * x)
    x[0] = 5.0
    loss.backward()
    np.testing.assert_array_equal(w.grad, [5.0, 2.0, 3.0])  # not the derivative of what was run


def test_the_error_names_the_operation_that_keeps_the_array(x, w):
    def program():
        kept = w * x  # the line that keeps x
        x[0] = 5.0
        return kept

    with pytest.raises(ValueError, match="read-only") as caught, strict():
        program()
    text = "".join(traceback.format_exception_only(caught.value))
    assert "write to a copy, or after backward()" in text
    assert "x, kept by multiply at " in text
    assert "kept = w * x  # the line that keeps x" in text


def test_an_error_of_another_kind_has_no_note():
    with pytest.raises(ValueError, match="other") as caught, strict():
        raise ValueError("other")
    assert not hasattr(caught.value, "__notes__")


def test_after_the_backward_pass_the_arrays_can_be_written_to(x, w):
    with strict():
        np.sum(w * x).backward()
        x[0] = 5.0
    assert x[0] == 5.0


def test_a_graph_that_is_kept_keeps_its_arrays_frozen(x, w):
    with strict():
        loss = np.sum(w * x)
        loss.backward(retain_graph=True)
        assert not x.flags.writeable
        loss.backward()
        assert x.flags.writeable


def test_an_array_of_two_operations_is_frozen_for_both(x, w):
    with strict():
        first, second = np.sum(w * x), np.sum(w * w * x)
        first.backward()
        assert not x.flags.writeable
        second.backward()
        assert x.flags.writeable


def test_a_graph_that_dies_releases_its_arrays(x, w):
    with strict():
        loss = np.sum(w * x)
        assert not x.flags.writeable
        gc.disable()
        try:
            del loss
            assert x.flags.writeable
        finally:
            gc.enable()


def test_the_end_of_the_block_releases_everything(x, w):
    with strict():
        loss = np.sum(w * x[:2].sum())
    assert x.flags.writeable
    assert w.data.flags.writeable
    loss.backward()


def test_the_owner_of_a_view_is_frozen_too(x, w):
    with strict():
        loss = np.sum(w[:2] * x[1:])
        with pytest.raises(ValueError, match="read-only"):
            x[1] = 5.0
    loss.backward()


def test_a_view_waits_for_its_owner(x, w):
    part = x[1:]
    with strict():
        whole, last = np.sum(w * x), np.sum(w[1:] * part)
        last.backward()
        assert not part.flags.writeable  # NumPy allows no writeable view of a frozen array
        whole.backward()
        assert part.flags.writeable
        assert x.flags.writeable


def test_what_was_read_only_before_stays_so(x, w):
    x.flags.writeable = False
    with strict():
        np.sum(w * x).backward()
    assert not x.flags.writeable


def test_what_no_rule_needs_is_not_frozen(x, w):
    with strict():
        loss = np.sum(w + x)
        x[0] = 5.0
    loss.backward()


def test_a_training_step_runs_and_gives_the_same_bits():
    def weights(mode):
        model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Linear(4, 2, rng=1))
        optimizer = optim.Adam(model.parameters(), 0.1)
        images = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        with mode:
            for _ in range(3):
                optimizer.zero_grad()
                nn.CrossEntropyLoss()(model(images), np.arange(8) % 2).backward()
                optimizer.step()
        return [p.data for p in model.parameters()]

    for a, b in zip(weights(strict()), weights(tg.enable_grad()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_update_through_older_views_is_still_noticed_by_backward(w):
    optimizer = optim.SGD([w], lr=0.1)  # holds views of its own
    w.grad = tg.Tensor(np.ones(3))
    with strict():
        loss = np.sum(w * w)
        optimizer.step()
        with pytest.raises(GraphError, match="changed in place"):
            loss.backward()


# ---- on by default: changes through the library --------------------------------------------------


def test_a_stale_graph_names_who_saved_and_who_changed(w):
    loss = np.sum(w * w)  # saved here
    with tg.no_grad():
        w[0] = 5.0  # changed here
    with pytest.raises(GraphError) as caught:
        loss.backward()
    text = str(caught.value)
    assert text.startswith(f"multiply (recorded at {__file__}:")
    assert "np.sum(w * w)  # saved here" in text
    assert "needs argument 0 of shape (3,) for its derivative" in text
    assert "w[0] = 5.0  # changed here" in text
    assert "compute the result again after the change, or change a copy" in text


def test_an_optimizers_step_is_named_by_the_users_line(w):
    optimizer = optim.SGD([w], lr=0.1)
    w.grad = tg.Tensor(np.ones(3))
    loss = np.sum(w * w)
    optimizer.step()  # the update
    with pytest.raises(GraphError, match=r"optimizer\.step\(\)  # the update"):
        loss.backward()


def test_other_ways_of_writing_are_named_too(w):
    def by_data():
        w.data = np.zeros(3)

    def by_function():
        with tg.no_grad():
            np.copyto(w, np.zeros(3))

    for write, words in ((by_data, "w.data = np.zeros(3)"), (by_function, "np.copyto(w")):
        loss = np.sum(w * w)
        write()
        with pytest.raises(GraphError) as caught:
            loss.backward()
        assert words in str(caught.value)
