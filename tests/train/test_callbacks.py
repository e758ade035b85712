"""Callbacks: a case for each that the library has, when they are called, and what they refuse."""

import csv
import math

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim, train
from tinygrad_fm.train.callback import HOOKS

# ---- one case for each callback, named for it ----------------------------------------------------


def early_stopping(fit, tmp_path):
    stopping = train.EarlyStopping(2, "score", mode="max")
    history, model = fit([scores(1, 3, 2, 3, 9), stopping], epochs=5)
    assert history["score"] == [1, 3, 2, 3]
    assert (stopping.best, stopping.best_epoch, stopping.stopped) == (3, 2, True)
    expected = fit([], epochs=2)[1].state_dict()
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, expected[name])


def schedule_lr(fit, tmp_path):
    history, _ = fit([train.ScheduleLR(lambda epoch: 0.1 / (epoch + 1))], epochs=3)
    assert history["lr"] == [0.1, 0.1 / 2, 0.1 / 3]


def reduce_on_drop(fit, tmp_path):
    drops = scores(0.5, 0.7, 0.6, 0.6, 0.5, name="validation_accuracy")
    history, _ = fit([drops, train.ReduceOnDrop(0.5)], epochs=5)
    assert history["lr"] == [0.01, 0.01, 0.01, 0.005, 0.005]


def moving_average(fit, tmp_path):
    history, _ = fit([train.MovingAverage(4)], epochs=2)
    losses = history.batch_losses
    assert len(losses) == 12
    expected = [np.mean(losses[2:6]), np.mean(losses[8:12])]
    assert history["average_loss"] == pytest.approx(expected)


def csv_log(fit, tmp_path):
    history, _ = fit([train.CSVLog(tmp_path / "log.csv"), scores(7, None)], epochs=2)
    with (tmp_path / "log.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == list(history.columns)
    assert [row[header.index("score")] for row in rows] == ["7", ""]
    losses = [float(row[header.index("train_loss")]) for row in rows]
    assert losses == history["train_loss"]


def checkpoint(fit, tmp_path):
    folder = tmp_path / "new" / "folder"
    keep = train.Checkpoint(folder, every=2, best="score", mode="min")
    _, model = fit([keep, scores(3, 1, 2)], epochs=3)
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "last.safetensors",
    ]
    after_two = fit([], epochs=2)[1]
    for name in ("best", "last"):  # both are of the second epoch
        train.load_weights(model, folder / f"{name}.safetensors")
        np.testing.assert_array_equal(model[0].weight.data, after_two[0].weight.data)


def graph_recorder(fit, tmp_path):
    plain, model = fit([], epochs=2)
    recorder = train.GraphRecorder(every=2)
    history, watched = fit([recorder], epochs=2)
    # watching changes nothing, bit for bit
    assert history.batch_losses == plain.batch_losses
    weights = model.state_dict()
    assert all(np.array_equal(weights[k], v) for k, v in watched.state_dict().items())
    updates = len(history.batch_losses)
    frames = recorder.graph.frames
    assert [frame.step for frame in frames] == [1, *range(2, updates + 1, 2)]
    by_name = {n.name: n.number for n in recorder.graph.nodes if n.kind == "parameter"}
    last = by_name[next(iter(weights))]
    assert frames[-1].values[last].norm == pytest.approx(
        np.linalg.norm(next(iter(weights.values()))), rel=1e-6
    )
    assert frames[0].values[last] != frames[-1].values[last]
    assert frames[-1].gradients.keys() >= set(by_name.values())
    path = recorder.graph.save(tmp_path / "steps.json")
    assert tg.graph.Graph.load(path).frames == frames


CASES = {
    train.EarlyStopping: early_stopping,
    train.ScheduleLR: schedule_lr,
    train.ReduceOnDrop: reduce_on_drop,
    train.MovingAverage: moving_average,
    train.CSVLog: csv_log,
    train.Checkpoint: checkpoint,
    train.GraphRecorder: graph_recorder,
}


def scores(*values, name="score"):
    """A callback that records a column of its own."""

    class Scores(train.Callback):
        def on_epoch_end(self, state):
            state.record[name] = values[state.epoch - 1]

    return Scores()


@pytest.fixture
def fit(make_model, batches):
    """fit(callbacks, epochs) trains the same new network each time; returns history and model."""

    def run(callbacks, epochs, **options):
        model = make_model()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        loss = nn.CrossEntropyLoss()
        history = train.fit(
            model,
            loss,
            optimizer,
            batches,
            epochs=epochs,
            callbacks=callbacks,
            progress=False,
            **options,
        )
        return history, model

    return run


def test_every_callback_of_the_library_has_a_case():
    known = {value for value in vars(train).values() if isinstance(value, type)}
    callbacks = {c for c in known if issubclass(c, train.Callback)} - {train.Callback}
    assert callbacks == set(CASES)


@pytest.mark.parametrize("callback", CASES, ids=lambda callback: callback.__name__)
def test_its_case(callback, fit, tmp_path):
    CASES[callback](fit, tmp_path)


# ---- when they are called ------------------------------------------------------------------------


class Diary(train.Callback):
    """Writes down every call."""

    def __init__(self):
        self.calls = []
        for hook in HOOKS:
            setattr(self, hook, lambda state, hook=hook: self.note(hook, state))

    def note(self, hook, state):
        self.calls.append((hook.removeprefix("on_"), state.epoch, state.batch, state.step))


def test_every_moment_is_called_in_order(fit):
    diary = Diary()
    fit([diary], epochs=2)
    epochs = [
        [("epoch_begin", n, 6 if n > 1 else 0, 6 * (n - 1))]
        + [("batch_end", n, i, 6 * (n - 1) + i) for i in range(1, 7)]
        + [("epoch_end", n, 6, 6 * n)]
        for n in (1, 2)
    ]
    assert diary.calls == [
        ("train_begin", 0, 0, 0),
        *epochs[0],
        *epochs[1],
        ("train_end", 2, 6, 12),
    ]


def test_the_end_comes_after_ctrl_c_too(fit):
    class Interrupt(train.Callback):
        def on_batch_end(self, state):
            assert state.loss > 0
            if state.epoch == 2:
                raise KeyboardInterrupt

    diary = Diary()
    history, _ = fit([Interrupt(), diary], epochs=3)
    assert history.interrupted
    assert diary.calls[-1][0] == "train_end"


def test_one_that_comes_last_does_wherever_it_stands(fit, tmp_path):
    """Otherwise a checkpoint or a log would miss what other callbacks do after it."""
    order = []

    class Note(train.Callback):
        def __init__(self, name, last):
            self.name, self.last = name, last

        def on_epoch_end(self, state):
            order.append(self.name)

    fit([Note("a", True), Note("b", False), Note("c", False)], epochs=1)
    assert order == ["b", "c", "a"]
    assert train.Checkpoint(tmp_path).last
    assert train.CSVLog(tmp_path / "x.csv").last


# ---- early stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([5, 4, 4, 4, 4, 4], {}, 4),  # stops at the second epoch without improvement
        ([5, 4, 4, 4, 4, 4], {"exceed": True}, 5),  # report 004's algorithm 2: more than two
        ([5, math.nan, math.nan, 1, 1, 1], {}, 3),  # a NaN is no improvement
        ([math.nan, math.nan, 1, 1, 1, 1], {}, 2),
        ([5, 4.5, 4.2, 4, 3, 2], {"min_delta": 1.0}, 3),
        ([5, 6, 4, 6, 3, 6], {}, 6),
    ],
)
def test_early_stopping_counts(fit, values, options, epochs):
    stopping = train.EarlyStopping(2, "score", **options)
    history, _ = fit([scores(*values), stopping], epochs=6)
    assert len(history) == epochs
    assert stopping.stopped == (epochs < 6)


def test_early_stopping_restores_the_best_weights_after_ctrl_c_too(fit):
    class Interrupt(train.Callback):
        def on_epoch_begin(self, state):
            if state.epoch == 4:
                raise KeyboardInterrupt

    best = fit([], epochs=1)[1]
    _, model = fit([scores(1, 2, 3), train.EarlyStopping(9, "score"), Interrupt()], epochs=9)
    np.testing.assert_array_equal(model[0].weight.data, best[0].weight.data)


def test_early_stopping_without_restoring_keeps_the_last(fit):
    last = fit([], epochs=3)[1]
    stopping = train.EarlyStopping(2, "score", restore_best=False)
    _, model = fit([scores(1, 2, 3, 4), stopping], epochs=4)
    np.testing.assert_array_equal(model[0].weight.data, last[0].weight.data)


def test_early_stopping_can_be_used_again(fit):
    stopping = train.EarlyStopping(1, "score")
    for _ in range(2):
        assert len(fit([scores(1, 2, 3), stopping], epochs=3)[0]) == 2


def test_accuracy_is_better_when_it_is_larger(fit, blobs):
    history, _ = fit([train.EarlyStopping(3, "validation_accuracy")], 3, validation=blobs)
    assert len(history) == 3


# ---- schedules -----------------------------------------------------------------------------------


def test_a_schedule_per_step_sets_the_rate_of_every_update(fit):
    rates = []

    class Note(train.Callback):
        def on_batch_end(self, state):
            rates.append(state.optimizer.lr)

    history, _ = fit([Note(), train.ScheduleLR(lambda step: 0.001 * (step + 1), "step")], epochs=2)
    # noted before the schedule sets the next one
    assert rates == [0.001 * (step + 1) for step in range(12)]
    assert history["lr"] == [rates[5], rates[11]]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "exponential"])
def test_the_schedules_of_optim_fit(fit, schedule):
    made = {
        "constant": lambda: optim.schedule.constant(0.01),
        "cosine": lambda: optim.schedule.cosine(0.01, 12),
        "one_cycle": lambda: optim.schedule.one_cycle(0.01, 12),
        "exponential": lambda: optim.schedule.exponential(0.01, 0.9),
    }[schedule]()
    history, _ = fit([train.ScheduleLR(made, "step")], epochs=2)
    assert history["lr"] == pytest.approx([made(5), made(11)])


def rates_of_groups(setting, batches, callbacks, epochs=3):
    """Trains with groups of the rates 0.1 and 0.001; returns the optimizer."""
    model, loss, _ = setting
    first, *others = model.parameters()
    groups = [{"parameters": [first]}, {"parameters": others, "lr": 0.001}]
    optimizer = optim.SGD(groups, lr=0.1)
    train.fit(model, loss, optimizer, batches, epochs=epochs, callbacks=callbacks, progress=False)
    return optimizer


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_a_schedule_keeps_the_ratio_of_the_groups(setting, batches, per):
    schedule = train.ScheduleLR(lambda step: 0.0 if step == 1 else 0.5, per)
    optimizer = rates_of_groups(setting, batches, [schedule])
    assert [group.lr for group in optimizer.groups] == pytest.approx([0.5, 0.005])


def test_a_drop_reduces_the_rate_of_each_group(setting, batches):
    drops = [scores(2, 1, 0), train.ReduceOnDrop(0.5, "score", mode="max", min_lr=0.0004)]
    optimizer = rates_of_groups(setting, batches, drops)
    assert [group.lr for group in optimizer.groups] == pytest.approx([0.025, 0.0004])


# ---- what they refuse ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: train.EarlyStopping(0), ValueError, "patience is at least 1, not 0"),
        (lambda: train.EarlyStopping(1, mode="best"), ValueError, "mode is 'min', 'max' or None"),
        (lambda: train.EarlyStopping(1, min_delta=-1), ValueError, "min_delta is at least 0"),
        (lambda: train.ScheduleLR(0.1), TypeError, "schedule is a function of a step, not 0.1"),
        (lambda: train.ScheduleLR(abs, "batch"), ValueError, "per is 'epoch' or 'step', not 'bat"),
        (lambda: train.ReduceOnDrop(1.0), ValueError, "factor is above 0 and below 1, not 1.0"),
        (lambda: train.ReduceOnDrop(min_lr=-1), ValueError, "min_lr is at least 0, not -1"),
        (lambda: train.MovingAverage(0), ValueError, "window is at least 1, not 0"),
        (lambda: train.Checkpoint("x", every=0), ValueError, "every is at least 1, not 0"),
        (lambda: train.Checkpoint("x", every=None), ValueError, "would write nothing"),
    ],
)
def test_wrong_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: train.EarlyStopping(1),
            "'validation_loss', which the record of epoch 1 lacks; pa",
        ),
        (lambda: train.EarlyStopping(1, "loss"), "lacks; there are epoch, train_loss, train_accu"),
        (lambda: train.ReduceOnDrop(), "ReduceOnDrop monitors 'validation_accuracy'"),
        (lambda: train.ScheduleLR(lambda e: -1), "gives a learning rate of -1.0 for epoch 0"),
        (lambda: train.ScheduleLR(lambda e: math.nan), "gives a learning rate of nan"),
    ],
)
def test_what_shows_in_training_is_refused(fit, make, message):
    with pytest.raises(ValueError, match=message):
        fit([make()], epochs=2)


def test_a_function_has_no_weights_to_keep(batches, tmp_path):
    w = nn.Parameter(np.zeros((4, 3), np.float32))
    setting = (lambda x: x @ w, nn.CrossEntropyLoss(), optim.SGD([w], 0.1), batches)
    with pytest.raises(TypeError, match="for a function write restore_best=False"):
        train.fit(*setting, epochs=1, callbacks=[train.EarlyStopping(1)], progress=False)
    with pytest.raises(TypeError, match="a checkpoint is of a Module, not of a function"):
        train.fit(*setting, epochs=1, callbacks=[train.Checkpoint(tmp_path)], progress=False)


def test_a_recorder_refuses_to_record_every_zeroth_step():
    with pytest.raises(ValueError, match="every is at least 1, not 0"):
        train.GraphRecorder(every=0)


def test_a_recorder_leaves_out_steps_that_compute_something_else(make_model):
    recorder, model = train.GraphRecorder(), make_model()
    x, y = np.ones((2, 4), np.float32), np.array([0, 1])
    criterion = nn.CrossEntropyLoss()
    recorder.record(1, model, criterion, x, y)
    recorder.record(2, model, lambda p, t: criterion(p, t) * 2.0, x, y)
    recorder.record(3, model, criterion, x, y)
    assert [frame.step for frame in recorder.graph.frames] == [1, 3]
    assert recorder.dropped == 1
