"""What the training loop refuses, each with an error that says what to pass instead."""

import numpy as np
import pytest

from tinygrad_fm import nn, optim, train


class Callback:
    def on_epoch_end(self, state):
        """Nothing to do."""


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs is at least 1, not 0"),
        ({"epochs": 1.5}, TypeError, "epochs is a whole number, at least 1, not 1.5"),
        ({"loader": []}, ValueError, "loader has no batches"),
        ({"loader": iter([])}, TypeError, "loader is a list_iterator, which can be read only once"),
        ({"loader": 3}, TypeError, "loader is a int; expected a data.Loader"),
        ({"loader": [np.zeros(3)]}, TypeError, r"batch 1 is ndarray; expected a pair \(x, y\)"),
        (
            {"loader": [(np.zeros((3, 4)), np.zeros(2, int))]},
            ValueError,
            r"batch 1 has x of shape \(3, 4\) and y of shape \(2,\)",
        ),
        (
            {"loader": [(np.zeros((3, 4)), np.array([0, 1, 3]))]},
            ValueError,
            r"label 3 is no class: logits of shape \(3, 3\)",
        ),
        (
            {"loader": [(np.zeros((3, 4)), np.zeros((3, 2)))]},
            ValueError,
            r"labels have shape \(3, 2\); for logits of shape \(3, 3\)",
        ),
        (
            {"loader": [(np.zeros((3, 5)), np.zeros(3, int))]},
            ValueError,
            r"got x of shape \(3, 5\); its last axis must be 4",
        ),
        (
            {"validation": (np.zeros((3, 4)), np.zeros(2, int))},
            ValueError,
            r"validation: x has shape \(3, 4\) and y \(2,\)",
        ),
        ({"validation": (np.zeros((3, 4)),)}, ValueError, r"a pair \(x, y\) or a loader, not 1"),
        ({"validation": []}, ValueError, "validation has no batches"),
        ({"callbacks": [print]}, TypeError, r"a callback is an object with on_epoch_end\(state\)"),
        (
            {"callbacks": [Callback]},
            TypeError,
            r"a callback is an object with on_epoch_end\(state\)",
        ),
        ({"callbacks": Callback()}, TypeError, r"write callbacks=\[callback\]"),
        (
            {"loss": nn.CrossEntropyLoss("none")},
            ValueError,
            r"the loss has shape \(20,\); expected one number",
        ),
    ],
)
def test_it_refuses(setting, batches, changed, error, message):
    model, loss, optimizer = setting
    given = {"loss": loss, "loader": batches, "epochs": 1} | changed
    with pytest.raises(error, match=message):
        train.fit(model, given.pop("loss"), optimizer, given.pop("loader"), progress=False, **given)


def test_a_loader_that_runs_dry_is_refused(setting, batches):
    class Dry:
        def __init__(self):
            self.batches = iter(batches)

        def __iter__(self):
            return self.batches

    with pytest.raises(ValueError, match="no batches in epoch 2; it is read anew in each epoch"):
        train.fit(*setting, Dry(), epochs=2, progress=False)


def test_an_error_of_the_model_says_where_training_was(setting, batches):
    x, y = batches[0]
    with pytest.raises(ValueError, match="label 9 is no class") as caught:
        train.fit(*setting, [batches[0], (x, y * 0 + 9)], epochs=1, progress=False)
    assert caught.value.__notes__[-1] == "(training was in epoch 1, batch 2)"


def test_loss_and_optimizer_in_the_wrong_order_are_told_apart(make_model, batches):
    model = make_model()
    optimizer, loss = optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    with pytest.raises(
        TypeError, match=r"loss is a function .* the order is fit\(model, loss, opt"
    ):
        train.fit(model, optimizer, loss, batches, epochs=1, progress=False)
    with pytest.raises(TypeError, match=r"optimizer is one of optim, .* not CrossEntropyLoss"):
        train.fit(model, loss, loss, batches, epochs=1, progress=False)
