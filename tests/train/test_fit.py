"""The training loop: that it learns, what it records and shows, and how it is stopped."""

import re
import sys

import numpy as np
import pytest

from tinygrad_fm import Tensor, data, nn, optim, train


class Each:
    """A callback made of a function."""

    def __init__(self, function):
        self.on_epoch_end = function


def test_it_learns_and_records_every_epoch(setting, batches, blobs):
    history = train.fit(*setting, batches, epochs=20, validation=blobs, progress=False)
    assert [record["epoch"] for record in history] == list(range(1, 21))
    assert list(history[0]) == [
        "epoch",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "lr",
        "seconds",
    ]
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert history[-1]["validation_accuracy"] > 0.85
    assert history[-1]["lr"] == 0.01
    assert all(seconds > 0 for seconds in history["seconds"])
    assert not history.interrupted


def test_training_loss_and_accuracy_are_means_over_examples(setting, blobs):
    x, y = blobs
    model, loss, optimizer = setting
    optimizer.lr = 0.0  # nothing moves, so every batch is measured with the same weights
    uneven = [(x[:100], y[:100]), (x[100:], y[100:])]
    history = train.fit(model, loss, optimizer, uneven, epochs=1, progress=False)
    expected = train.evaluate(model, loss, x, y)
    assert history[0]["train_loss"] == pytest.approx(expected[0], rel=1e-6)
    assert history[0]["train_accuracy"] == expected[1]


def test_one_epoch_is_forward_backward_step_for_each_batch(setting, make_model, batches):
    train.fit(*setting, batches, epochs=2, progress=False)
    model = make_model()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        for x, y in batches:
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(Tensor(x)), y).backward()
            optimizer.step()
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(setting[0].state_dict()[name], values)


def test_same_seed_same_bits():
    def run():
        shipped = data.load("fashion-mnist-mini")
        model = nn.Sequential(nn.Linear(784, 16, rng=3), nn.ReLU(), nn.Linear(16, 10, rng=4))
        images, labels = shipped.train_images[:500], shipped.train_labels[:500]
        loader = data.Loader(images, labels, batch_size=64, seed=7)
        optimizer = optim.Adam(model.parameters())
        loss = nn.CrossEntropyLoss()
        held_out = (shipped.test_images[:100], shipped.test_labels[:100])
        history = train.fit(
            model, loss, optimizer, loader, epochs=2, validation=held_out, progress=False
        )
        return model.state_dict(), [{**record, "seconds": 0} for record in history]

    (weights, records), (again, records_again) = run(), run()
    assert records == records_again
    for name in weights:
        assert weights[name].tobytes() == again[name].tobytes()


def test_without_classes_there_is_no_accuracy(blobs):
    x, _ = blobs
    model = nn.Linear(4, 2, rng=0)
    targets = x[:, :2] * 3
    history = train.fit(
        model,
        nn.MSELoss(),
        optim.SGD(model.parameters(), 0.05),
        [(x, targets)],
        epochs=3,
        validation=(x, targets),
        progress=False,
    )
    assert history["train_accuracy"] == history["validation_accuracy"] == [None] * 3
    assert history["train_loss"][2] < history["train_loss"][0]


def test_one_hot_labels_have_an_accuracy(setting, blobs):
    x, y = blobs
    history = train.fit(*setting, [(x, data.one_hot(y))], epochs=1, progress=False)
    assert 0 <= history[0]["train_accuracy"] <= 1


def test_a_model_may_be_any_function(blobs):
    x, y = blobs
    w = Tensor(np.zeros((4, 3), np.float32), requires_grad=True, name="w")
    optimizer = optim.SGD([w], 0.1)
    history = train.fit(
        lambda x: x @ w, nn.CrossEntropyLoss(), optimizer, [(x, y)], epochs=5, progress=False
    )
    assert history[-1]["train_loss"] < history[0]["train_loss"]


# ---- validation ----------------------------------------------------------------------------------


def test_validation_arrays_are_prepared_as_the_loader_does(make_model):
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 2)).astype(np.uint8)
    labels = np.arange(30) % 3
    model = make_model()
    loss, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.0)
    loader = data.Loader(images, labels, batch_size=10)
    history = train.fit(
        model, loss, optimizer, loader, epochs=1, validation=(images, labels), progress=False
    )
    x = data.flatten(data.scale(images))
    assert history[0]["validation_loss"] == pytest.approx(train.evaluate(model, loss, x, labels)[0])


def test_validation_may_be_a_loader(setting, batches, blobs):
    loader = data.Loader(*blobs, batch_size=50, shuffle=False)
    history = train.fit(*setting, batches, epochs=1, validation=loader, progress=False)
    expected = train.evaluate(*setting[:2], *blobs, batch_size=50)
    assert (history[0]["validation_loss"], history[0]["validation_accuracy"]) == expected


def test_training_is_in_training_mode_and_validation_in_evaluation_mode(batches, blobs):
    modes = []

    class Watch(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    model = nn.Sequential(Watch(), nn.Linear(4, 3, rng=0)).eval()
    optimizer = optim.SGD(model.parameters(), 0.1)
    train.fit(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        batches[:2],
        epochs=2,
        validation=blobs,
        progress=False,
    )
    assert modes == [True, True, False] * 2
    assert model.training


# ---- callbacks -----------------------------------------------------------------------------------


def test_callbacks_come_in_order_and_see_the_record(setting, batches):
    seen = []
    callbacks = [
        Each(lambda state: seen.append((1, state.epoch, state.record["epoch"]))),
        Each(lambda state: seen.append((2, state.epochs, len(state.history)))),
    ]
    train.fit(*setting, batches, epochs=2, callbacks=callbacks, progress=False)
    assert seen == [(1, 1, 1), (2, 2, 1), (1, 2, 2), (2, 2, 2)]


def test_a_callback_may_change_the_learning_rate_and_stop(setting, batches):
    def halve(state):
        state.optimizer.lr /= 2
        state.record["note"] = "halved"
        state.stop = state.epoch == 3

    history = train.fit(*setting, batches, epochs=9, callbacks=[Each(halve)], progress=False)
    assert history["lr"] == [0.01, 0.005, 0.0025]
    assert history["note"] == ["halved"] * 3
    assert not history.interrupted


# ---- Ctrl-C --------------------------------------------------------------------------------------


def test_interrupted_in_a_callback_the_history_is_kept(setting, batches):
    def interrupt(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    history = train.fit(*setting, batches, epochs=5, callbacks=[Each(interrupt)], progress=False)
    assert history.interrupted
    assert len(history) == 2


@pytest.mark.parametrize("bar", [False, True])
def test_interrupted_in_a_batch_the_weights_are_kept_and_the_epoch_is_not_recorded(
    setting, make_model, batches, bar
):
    class Interrupted:
        begun = 0

        def __iter__(self):
            self.begun += 1
            yield from batches[:3]
            if self.begun == 2:
                raise KeyboardInterrupt
            yield from batches[3:]

    history = train.fit(*setting, Interrupted(), epochs=5, progress=bar)
    assert history.interrupted
    assert [record["epoch"] for record in history] == [1]
    model = make_model()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for x, y in batches + batches[:3]:
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(Tensor(x)), y).backward()
        optimizer.step()
    np.testing.assert_array_equal(setting[0][0].weight.data, model[0].weight.data)


# ---- what it shows -------------------------------------------------------------------------------

LINE = (
    r"epoch 1/1   loss \d\.\d{4}  accuracy [ \d]\d\.\d\d%   "
    r"validation loss \d\.\d{4}  accuracy [ \d]\d\.\d\d%   \d+\.\d s\n"
)


def test_in_a_pipe_it_prints_a_line_an_epoch(setting, batches, blobs, capsys):
    train.fit(*setting, batches, epochs=1, validation=blobs)
    captured = capsys.readouterr()
    assert re.fullmatch(LINE, captured.out)
    assert not captured.err


def test_in_a_terminal_it_shows_a_bar_as_well(setting, batches, blobs, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    train.fit(*setting, batches, epochs=1, validation=blobs)
    shown = capsys.readouterr().out
    assert "batches" in shown
    assert re.search(LINE, shown)


def test_progress_false_is_silent(setting, batches, capsys):
    train.fit(*setting, batches, epochs=1, progress=False)
    captured = capsys.readouterr()
    assert not captured.out + captured.err


def test_the_bar_does_without_a_length(setting, batches, capsys):
    class Endless:
        def __iter__(self):
            return iter(batches)

    train.fit(*setting, Endless(), epochs=1, progress=True)
    assert "epoch 1/1" in capsys.readouterr().out


def test_tqdm_is_imported_for_a_bar_only(setting, batches, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)  # importing it now fails
    train.fit(*setting, batches, epochs=1)
