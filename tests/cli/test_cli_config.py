"""Configuration files: they say what options say, and a run's own file repeats the run."""

import json
import tomllib

import numpy as np
import pytest

from tinygrad_fm import data, train
from tinygrad_fm.cli.build import build_callbacks, build_model, build_optimizer
from tinygrad_fm.cli.settings import ACTIVATIONS, OPTIONS, RATES, SCHEDULES, Settings, read_config

MINI = "fashion-mnist-mini"
QUICK = ("train", "--epochs", "1", "--hidden", "8", "--batch-size", "500", "--data", MINI)
SETTINGS = {
    "data": MINI,
    "data_root": None,
    "model": "mlp",
    "hidden": (8,),
    "channels": None,
    "activation": "relu",
    "batch_norm": False,
    "dropout": 0.0,
    "optimizer": "adam",
    "lr": 0.001,
    "momentum": None,
    "weight_decay": None,
    "schedule": "constant",
    "epochs": 3,
    "batch_size": 500,
    "validation": 0.0,
    "early_stopping": None,
    "seed": 0,
}

pytestmark = pytest.mark.usefixtures("no_pictures")


def used(folder):
    return json.loads((folder / "result.json").read_text())["settings"]


def test_every_setting_is_an_option():
    assert [option.name for option in OPTIONS] == list(SETTINGS)
    Settings(**SETTINGS)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"hidden": (), "lr": 1e-5, "data_root": 'a "folder"\\with é', "seed": 2**40},
        {"model": "cnn", "channels": (4,), "batch_norm": True, "early_stopping": 2},
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "step:3,0.5", "validation": 0.1},
    ],
)
def test_settings_are_the_same_after_writing_and_reading(tmp_path, changed):
    settings = Settings(**{**SETTINGS, **changed})
    path = tmp_path / "config.toml"
    path.write_text(settings.to_toml("a remark\nin two lines"), encoding="utf-8")
    absent = {name: None for name, value in vars(settings).items() if value is None}
    assert Settings(**{**absent, **read_config(path)}) == settings
    assert path.read_text(encoding="utf-8").startswith("# a remark\n# in two lines\n")


def test_a_file_says_the_same_as_options(command, bare_machine):
    words = ("--batch-norm", "--dropout", "0.2", "--optimizer", "sgd", "--activation", "gelu")
    more = ("--schedule", "one-cycle", "--early-stopping", "3", "--momentum", "0.5")
    assert command(*QUICK, *words, *more, "--out", "a").code == 0
    (bare_machine / "mine.toml").write_text(
        f"""
        epochs = 1
        hidden = [8]
        batch_size = 500
        data = "{MINI}"
        batch_norm = true
        dropout = 0.2
        optimizer = "sgd"
        activation = "gelu"
        schedule = "one-cycle"
        early_stopping = 3
        momentum = 0.5
        """
    )
    done = command("train", "--config", "mine.toml", "--out", "b")
    assert done.code == 0
    assert "fashion-mnist-mini, as asked for in mine.toml" in done.out
    assert used(bare_machine / "a") == used(bare_machine / "b")
    weights = [(bare_machine / run / "weights.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]


def test_a_run_is_repeated_from_its_own_file_bit_for_bit(command, bare_machine):
    words = ("--batch-norm", "--dropout", "0.3", "--optimizer", "adamw", "--seed", "3")
    command(*QUICK, *words, "--schedule", "drop", "--out", "a")
    assert command("train", "--config", "a/config.toml", "--out", "b").code == 0
    a, b = bare_machine / "a", bare_machine / "b"
    assert (a / "weights.safetensors").read_bytes() == (b / "weights.safetensors").read_bytes()
    first, second = (tomllib.loads((run / "config.toml").read_text()) for run in (a, b))
    assert first == second


def test_options_win_over_the_file(command, bare_machine):
    (bare_machine / "c.toml").write_text('lr = 0.5\nseed = 1\nactivation = "tanh"\nbatch_norm=true')
    command(*QUICK, "--config", "c.toml", "--seed", "2", "--no-batch-norm", "--out", "a")
    found = used(bare_machine / "a")
    assert (found["lr"], found["seed"], found["activation"]) == (0.5, 2, "tanh")
    assert not found["batch_norm"]


def test_another_optimizer_puts_aside_what_the_file_says_for_its_own(command, bare_machine):
    (bare_machine / "c.toml").write_text('optimizer = "sgd"\nmomentum = 0.8\nlr = 0.01')
    assert command(*QUICK, "--config", "c.toml", "--optimizer", "adam", "--out", "a").code == 0
    assert used(bare_machine / "a")["momentum"] is None
    done = command(*QUICK, "--config", "c.toml", "--optimizer", "adam", "--momentum", "0.5")
    assert (done.code, "--momentum is for --optimizer sgd" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epohcs = 3", "c.toml: unknown key 'epohcs'; did you mean 'epochs'?"),
        ("batch-size = 3", "unknown key 'batch-size'; did you mean 'batch_size'?"),
        ("xyzzy = 3", "unknown key 'xyzzy'; expected data, data_root, model, hidden"),
        ('epochs = "3"', "c.toml: epochs: expected a whole number, at least 1, not '3'"),
        ("epochs = 3.0", "epochs: expected a whole number, at least 1, not 3.0"),
        ("epochs = true", "epochs: expected a whole number, at least 1, not True"),
        ("seed = -1", "seed: expected a whole number, at least 0, not -1"),
        ("lr = -0.1", "lr: expected a number above 0, not -0.1"),
        ("lr = nan", "lr: expected a number above 0, not nan"),
        ('lr = "high"', "lr: expected a number above 0, not 'high'"),
        ('hidden = "128,64"', "hidden: expected whole numbers above 0 with commas between"),
        ("hidden = [128, 0]", "hidden: expected whole numbers above 0 with commas between"),
        ("batch_norm = 1", "batch_norm: expected true or false, not 1"),
        ('optimizer = "adma"', "optimizer: expected one of adam, adamw, sgd, rmsprop, adagrad, n"),
        ("optimizer = 3", "optimizer: expected one of adam, adamw, sgd, rmsprop, adagrad, not 3"),
        ('schedule = "coseni"', "not 'coseni'; did you mean 'cosine'?"),
        ("data = 3", "data: expected some text, not 3"),
        ("[train]\nepochs = 3", "unknown key 'train'"),
        ("epochs 3", "c.toml is no TOML file: "),
    ],
)
def test_a_wrong_file_is_refused(command, bare_machine, text, message):
    (bare_machine / "c.toml").write_text(text)
    done = command("train", "--config", "c.toml")
    assert done.code == 1
    assert message in done.err
    assert [path.name for path in bare_machine.iterdir()] == ["c.toml"]


def test_a_missing_file_is_named(command):
    assert "cannot read the configuration: " in command("train", "--config", "absent.toml").err


# ---- what the settings build ---------------------------------------------------------------------


def kinds(**changed):
    model, name = build_model(Settings(**{**SETTINGS, **changed}), (28, 28), 10)
    return [type(layer).__name__ for layer in model], name


def test_the_perceptron():
    assert kinds() == (["Linear", "ReLU", "Linear"], "784-8-10")
    assert kinds(hidden=()) == (["Linear"], "784-10")
    found, _ = kinds(hidden=(8, 4), batch_norm=True, dropout=0.5, activation="leaky_relu")
    block = ["Linear", "BatchNorm1d", "LeakyReLU", "Dropout"]
    assert found == [*block, *block, "Linear"]


def test_the_convolutional_network():
    found, name = kinds(model="cnn", channels=(16, 32), hidden=())
    block = ["Conv2d", "ReLU", "MaxPool2d"]
    assert found == [*block, *block, "Flatten", "Linear"]
    assert name == "conv16-conv32-1568-10"
    found, name = kinds(model="cnn", channels=(4,), hidden=(5,), batch_norm=True, dropout=0.1)
    assert found == [
        *("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Flatten"),
        *("Dropout", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"),
    ]
    assert name == "conv4-784-5-10"
    with pytest.raises(ValueError, match="images of 28x28 are too small for 5 poolings"):
        kinds(model="cnn", channels=(1,) * 5)


def test_dropout_does_not_change_the_initial_weights():
    plain, dropped = (
        build_model(Settings(**{**SETTINGS, "dropout": p}), (28, 28), 10)[0] for p in (0.0, 0.5)
    )
    np.testing.assert_array_equal(plain[2].weight.data, dropped[3].weight.data)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", RATES)
def test_every_activation_and_optimizer_trains(activation, optimizer):
    momentum = 0.9 if optimizer == "sgd" else None
    settings = Settings(
        **{**SETTINGS, "activation": activation, "optimizer": optimizer, "momentum": momentum}
    )
    model, _ = build_model(settings, (2, 2), 3)
    made = build_optimizer(settings, model)
    assert type(made).__name__.lower() == optimizer
    x, y = np.random.default_rng(0).random((9, 4), np.float32), np.arange(9) % 3
    from tinygrad_fm import nn

    history = train.fit(model, nn.CrossEntropyLoss(), made, [(x, y)], epochs=5, progress=False)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_sets_the_rate(schedule):
    from tinygrad_fm import nn

    settings = Settings(**{**SETTINGS, "schedule": schedule, "epochs": 12})
    model, _ = build_model(settings, (2, 2), 3)
    x, y = np.random.default_rng(0).random((9, 4), np.float32), np.arange(9) % 3
    loader = data.Loader(x, y, batch_size=3)
    history = train.fit(
        model,
        nn.CrossEntropyLoss(),
        build_optimizer(settings, model),
        loader,
        epochs=12,
        validation=(x, y),
        callbacks=build_callbacks(settings, len(loader)),
        progress=False,
    )
    rates = history["lr"]
    assert all(rate >= 0 for rate in rates)
    assert (len(set(rates)) == 1) == (schedule in ("constant", "drop"))
