"""A loss that is not finite: training stops, and says which operation, parameter or row it was."""

import pickle
import warnings

import numpy as np
import pytest

from tinygrad_fm import Tensor, nn, optim, train
from tinygrad_fm.debug import NonFiniteError, NonFiniteTrace


class Log(nn.Module):
    """log(x), which is NaN for what is negative."""

    def forward(self, x):
        return np.log(x)  # the line to be found


class Deep(nn.Module):
    def __init__(self):
        self.inner = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), Log(), nn.Linear(8, 3, rng=1))

    def forward(self, x):
        return self.inner(x)


def caught_in(model, batches, lr=0.01, loss=None, epochs=2):
    """The error that training ends with."""
    optimizer = optim.SGD(model.parameters(), lr)
    with pytest.raises(NonFiniteError) as caught:
        train.fit(
            model, loss or nn.CrossEntropyLoss(), optimizer, batches, epochs=epochs, progress=False
        )
    return caught.value


def test_an_operation_is_named_with_its_module_and_line(batches):
    error = caught_in(Deep(), batches)
    assert (error.epoch, error.batch, error.operation) == (1, 1, "log")
    message = str(error)
    assert "the loss is nan in epoch 1, batch 1" in message
    assert "first made by log, operation 3: nan at [0, " in message
    assert "argument 0: float32 (20, 8), -1" in message
    assert "in module Deep" in message
    assert "(Log)" in message
    assert f"{__file__}:" in message
    assert "return np.log(x)  # the line to be found" in message
    assert isinstance(error, ArithmeticError)
    assert len(error.history) == 0


def test_the_history_until_then_is_on_the_error(make_model, batches):
    good, bad = iter(batches[:1]), iter([(batches[1][0] * np.inf, batches[1][1])])

    class Worse:
        epochs = iter([good, bad])

        def __iter__(self):
            return next(self.epochs)

    error = caught_in(make_model(), Worse())
    assert (error.epoch, error.batch) == (2, 1)
    assert len(error.history) == 1


def test_weights_that_explode_are_blamed_on_the_learning_rate(make_model, batches):
    error = caught_in(make_model(), batches, lr=1e15)
    assert error.operation == "linear"
    assert "the parameters have grown to" in str(error)
    assert "the learning rate, 1e+15, is too large" in str(error)


def test_a_parameter_that_an_update_made_infinite_is_named(make_model, batches):
    model = make_model()
    loss = nn.CrossEntropyLoss()

    def steep(prediction, labels):
        return loss(prediction, labels) * 1e30

    error = caught_in(model, batches, lr=1e30, loss=steep)
    assert error.operation is None
    assert error.batch == 2
    assert "parameter 0.weight is not finite: " in str(error)
    assert "the update after batch 1 made it so; its gradient was finite" in str(error)
    assert "so the learning rate, 1e+30, is too large" in str(error)


def test_a_gradient_that_is_not_finite_is_told_apart(make_model, batches):
    def corner(prediction, labels):
        return np.sqrt(np.sum(np.square(prediction * 0)))  # 0, with an infinite slope

    error = caught_in(make_model(), batches, loss=corner)
    assert "the update after batch 1 made it so; its gradient was not finite either" in str(error)
    assert "a derivative is infinite there" in str(error)


def test_an_update_that_ends_an_epoch_is_noticed_at_once(make_model, batches):
    def corner(prediction, labels):
        return np.sqrt(np.sum(np.square(prediction * 0)))

    error = caught_in(make_model(), batches[:1], loss=corner)
    assert (error.epoch, error.batch) == (1, 1)
    assert "the update after batch 1 made it so" in str(error)


def test_bad_initial_values_are_told_apart(make_model, batches):
    model = make_model()
    model[2].bias.data[1] = np.nan
    error = caught_in(model, batches)
    assert "parameter 2.bias is not finite: nan at [1], 1 of 3 values" in str(error)
    assert "so before the first update: look at its initial values" in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_row_of_the_batch_is_named(make_model, batches, value):
    x, y = batches[1]
    x = x.copy()
    x[5, 2] = value
    error = caught_in(make_model(), [batches[0], (x, y)])
    assert (error.epoch, error.batch, error.operation) == (1, 2, None)
    assert f"the batch itself is not finite: x, row 5: {value} at [5, 2], 1 of 80" in str(error)


def test_bad_targets_are_named(batches):
    x, _ = batches[0]
    model = nn.Linear(4, 1, rng=0)
    targets = np.full((20, 1), np.nan, np.float32)
    assert "y, row 0: nan" in str(caught_in(model, [(x, targets)], loss=nn.MSELoss()))


def test_what_does_not_happen_again_is_admitted(make_model, batches):
    values = iter([np.nan, 1.0])

    def fickle(prediction, labels):
        return np.sum(prediction) * 0 + np.array(next(values))

    error = caught_in(make_model(), batches, loss=fickle)
    assert "the operation is unknown" in str(error)


def test_numpy_does_not_warn_as_well(batches):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caught_in(Deep(), batches)


def test_what_the_user_set_to_raise_still_raises(batches):
    model = Deep()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError, match="invalid value"):
        train.fit(model, nn.CrossEntropyLoss(), optimizer, batches, epochs=1, progress=False)


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(NonFiniteError("bad", epoch=2, operation="log")))
    assert (str(error), error.epoch, error.operation) == ("bad", 2, "log")


# ---- the trace on its own ------------------------------------------------------------------------


@pytest.fixture
def negative():
    return Tensor(np.array([-1.0, 2.0]), requires_grad=True)


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def test_a_masked_infinity_is_not_the_origin(negative):
    with NonFiniteTrace() as trace:
        masked = np.where(negative > 0, np.log(negative), 0.0)
        result = np.sum(np.sqrt(negative) + masked)
    assert trace.first.operation == "log"
    assert trace.origin_of(result).operation == "sqrt"


def test_an_argument_from_outside_is_told_apart(negative):
    with NonFiniteTrace() as trace:
        result = np.exp(negative * np.array([1.0, np.inf]))
    origin = trace.origin_of(result)
    assert (origin.operation, origin.number, origin.argument) == ("multiply", 1, 1)
    assert "first met by multiply" in str(origin)
    assert "argument 1: float64 (2,), inf at [1], 1 of 2 values" in str(origin)


def test_a_number_from_outside_is_told_apart(negative):
    with NonFiniteTrace() as trace:
        result = negative * float("nan")
    assert trace.origin_of(result).argument == 1


def test_operations_with_several_results_are_seen(negative):
    with NonFiniteTrace() as trace:
        first, second = np.split(np.log(negative), 2)
        result = first * 2
    assert trace.origin_of(result).operation == "log"
    assert trace.origin_of(second) is None


def test_a_finite_result_has_no_origin(negative):
    with NonFiniteTrace() as trace:
        result = np.sum(negative)
    assert trace.origin_of(result) is None
    assert trace.first is None


def test_traces_nest_and_end(negative):
    with NonFiniteTrace() as outer:
        with NonFiniteTrace() as inner:
            bad = np.log(negative)
        np.sqrt(negative)
    np.arcsin(negative * 2)
    assert inner.origin_of(bad).number == outer.origin_of(bad).number == 1
    assert outer._count == 2
