"""tinygrad-fm train: the run folder, the choice of data, and the ways it can end."""

import csv
import json
import sys

import numpy as np
import pytest

from tinygrad_fm import data, nn, optim, train
from tinygrad_fm.cli import main
from tinygrad_fm.data import places
from tinygrad_fm.graph import find_renderer

QUICK = ("train", "--epochs", "1", "--hidden", "8", "--batch-size", "500")
FILES = {
    "config.toml",
    "confusion.csv",
    "graph.dot",
    "history.jsonl",
    "result.json",
    "weights.safetensors",
}
PICTURES = {"confusion.png", "curves.png", "graph.html", "graph.svg"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def interrupt(history=0):
    """A stand-in for fit that Ctrl-C ends after so many epochs."""
    fit = train.fit

    def interrupted(*args, epochs, **options):
        made = fit(*args, epochs=history, **options) if history else train.History()
        made.interrupted = True
        return made

    return interrupted


@pytest.mark.usefixtures("no_pictures")
class TestWithoutPictures:
    def test_the_run_folder_holds_everything(self, command, bare_machine):
        done = command(*QUICK, "--seed", "5")
        assert (done.code, done.err) == (0, "")
        folder = bare_machine / "runs" / "001"
        assert names(folder) == FILES
        result = json.loads((folder / "result.json").read_text())
        assert f"test accuracy {result['test_accuracy']:.2%}" in done.out
        assert result["settings"] == {
            "data": "fashion-mnist-mini",
            "data_root": None,
            "model": "mlp",
            "hidden": [8],
            "channels": None,
            "activation": "relu",
            "batch_norm": False,
            "dropout": 0.0,
            "optimizer": "adam",
            "lr": 0.001,
            "momentum": None,
            "weight_decay": None,
            "schedule": "constant",
            "epochs": 1,
            "batch_size": 500,
            "validation": 0.0,
            "early_stopping": None,
            "seed": 5,
        }
        assert result["parameters"] == 784 * 8 + 8 + 8 * 10 + 10
        assert result["data"]["test_images"] == 1000
        assert result["versions"]["numpy"] == np.__version__
        assert not result["interrupted"]
        history = train.History.load(folder / "history.jsonl")
        assert history["validation_accuracy"] == [result["test_accuracy"]]
        with (folder / "confusion.csv").open(newline="") as stream:
            header, *rows = csv.reader(stream)
        assert header[0] == "true class / predicted"
        assert header[1:] == [row[0] for row in rows] == list(data.known.FASHION_CLASSES)
        counts = np.array([row[1:] for row in rows], int)
        assert counts.sum(axis=1).tolist() == [100] * 10
        assert counts.trace() / 1000 == result["test_accuracy"]
        assert (folder / "graph.dot").read_text().startswith("digraph")

    def test_the_saved_weights_are_those_that_were_measured(self, command, bare_machine):
        command(*QUICK)
        folder = bare_machine / "runs" / "001"
        model = nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
        train.load_weights(model, folder / "weights.safetensors")
        shipped = data.load("fashion-mnist-mini")
        images = data.flatten(data.scale(shipped.test_images))
        found = train.evaluate(model, nn.CrossEntropyLoss(), images, shipped.test_labels)
        result = json.loads((folder / "result.json").read_text())
        assert found == (result["test_loss"], result["test_accuracy"])

    def test_what_is_missing_is_said_and_how_to_get_it(self, command):
        out = command(*QUICK).out
        assert "no curves.png and no confusion.png: pictures need matplotlib" in out
        assert 'pip install "tinygrad_fm[plot]"' in out
        assert "no graph.svg: no renderer for .svg is installed" in out

    def test_same_seed_same_bits_and_another_seed_others(self, command, bare_machine):
        for seed in ("1", "1", "2"):
            assert command(*QUICK, "--seed", seed).code == 0
        runs = bare_machine / "runs"
        assert sorted(names(runs)) == ["001", "002", "003"]
        first, again, other = (
            (runs / n / "weights.safetensors").read_bytes() for n in ("001", "002", "003")
        )
        assert first == again != other

    def test_sgd_and_no_hidden_layer(self, command, bare_machine):
        words = ("train", "--epochs", "1", "--batch-size", "500", "--hidden", "", "--out", "r")
        done = command(*words, "--optimizer", "sgd", "--momentum", "0.5", "--lr", "0.1")
        assert done.code == 0
        assert "784-10\n" in done.out
        assert "sgd, learning rate 0.1, momentum 0.5, seed 0" in done.out
        settings = json.loads((bare_machine / "r" / "result.json").read_text())["settings"]
        assert (settings["optimizer"], settings["momentum"], settings["lr"]) == ("sgd", 0.5, 0.1)

    def test_ctrl_c_writes_what_was_learned(self, command, bare_machine, monkeypatch):
        monkeypatch.setattr(train, "fit", interrupt(history=1))
        done = command("train", "--hidden", "8", "--batch-size", "500")
        assert done.code == 130
        assert "interrupted after 1 of 15 epochs; the weights are kept" in done.out
        folder = bare_machine / "runs" / "001"
        assert names(folder) == FILES
        assert json.loads((folder / "result.json").read_text())["interrupted"]
        assert train.History.load(folder / "history.jsonl").interrupted

    def test_an_existing_run_is_never_overwritten(self, command, bare_machine):
        (bare_machine / "mine").mkdir()
        (bare_machine / "mine" / "notes.txt").write_text("mine")
        (bare_machine / "file").write_text("mine")
        done = command(*QUICK, "--out", "mine")
        assert (done.code, done.out) == (1, "")
        assert "the run folder mine holds files already; no run is overwritten" in done.err
        assert names(bare_machine / "mine") == {"notes.txt"}
        assert "file is a file" in command(*QUICK, "--out", "file").err
        assert command(*QUICK, "--out", "file/below").code == 1

    def test_an_empty_folder_and_a_deep_one_are_taken(self, command, bare_machine):
        (bare_machine / "empty").mkdir()
        assert command(*QUICK, "--out", "empty").code == 0
        assert command(*QUICK, "--out", "a/b/c").code == 0
        assert names(bare_machine / "empty") == names(bare_machine / "a" / "b" / "c") == FILES

    def test_runs_are_numbered_past_the_largest(self, command, bare_machine):
        for name in ("007", "notes", "002"):
            (bare_machine / "runs" / name).mkdir(parents=True)
        command(*QUICK)
        assert names(bare_machine / "runs" / "008") == FILES

    def test_a_loss_that_is_not_finite_fails_and_leaves_nothing(self, command, bare_machine):
        done = command(*QUICK, "--optimizer", "sgd", "--lr", "1e30")
        assert done.code == 1
        assert "tinygrad-fm train: the loss is nan in epoch 1, batch 2" in done.err
        assert "1e+30, is too large" in done.err
        assert not (bare_machine / "runs" / "001").exists()

    def test_a_full_disk_fails(self, command, monkeypatch):
        def fail(self, path):
            raise OSError("no space left")

        monkeypatch.setattr(train.History, "save", fail)
        done = command(*QUICK)
        assert done.code == 1
        assert "history.jsonl: no space left" in done.err


class TestChoiceOfData:
    """Nothing is trained here: the run ends where it would make its folder."""

    @pytest.fixture(autouse=True)
    def taken(self, bare_machine):
        (bare_machine / "taken").mkdir()
        (bare_machine / "taken" / "file").write_text("")

    @pytest.fixture
    def full(self, tmp_path, monkeypatch):
        """The shipped files under the name of the full set, which is not verified here."""
        folder = tmp_path / "debian" / "fashion-mnist"
        folder.mkdir(parents=True)
        for path in places.SHIPPED_FOLDER.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        entry = data.known.FASHION_MNIST_MINI._replace(
            name="fashion-mnist", shipped=False, debian_package="dataset-fashion-mnist"
        )
        monkeypatch.setitem(data.known.KNOWN, "fashion-mnist", entry)
        return folder

    def test_the_full_set_is_taken_where_it_is_found(self, command, full, no_pictures):
        done = command(*QUICK)
        assert "fashion-mnist, the full set, because it was found on this machine" in done.out
        assert f"read from {full}" in done.out

    def test_the_shipped_one_otherwise(self, command, no_pictures):
        out = command(*QUICK).out
        assert "fashion-mnist-mini, shipped with tinygrad_fm, because fashion-mnist was not" in out
        assert "to get it: tinygrad-fm data fetch fashion-mnist" in out

    def test_a_root_is_the_only_place(self, command, full, no_pictures):
        done = command(*QUICK, "--data-root", str(full))
        assert "fashion-mnist, in the folder given with --data-root" in done.out
        done = command(*QUICK, "--data-root", "nowhere")
        assert done.code == 1
        assert "An explicit root is the only place looked in" in done.err

    def test_a_set_that_is_asked_for_must_be_there(self, command):
        done = command(*QUICK, "--data", "fashion-mnist")
        assert done.code == 1
        assert "fashion-mnist was not found" in done.err
        assert "tinygrad-fm data fetch fashion-mnist" in done.err


def test_pictures_are_drawn_where_the_packages_are(command, bare_machine):
    pytest.importorskip("matplotlib")
    if find_renderer() is None:
        pytest.skip("no renderer of graphs is installed")
    done = command(*QUICK)
    folder = bare_machine / "runs" / "001"
    assert names(folder) == FILES | PICTURES
    assert all((folder / name).stat().st_size > 1000 for name in PICTURES)
    assert "\nno " not in done.out


def test_interrupted_before_the_first_epoch_there_are_no_curves(command, bare_machine, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(train, "fit", interrupt())
    done = command(*QUICK)
    assert done.code == 130
    assert "no curves.png: not one epoch was completed" in done.out
    assert "confusion.png" in names(bare_machine / "runs" / "001")


def test_interrupted_outside_of_training_it_ends_quietly(command, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupted)
    done = command(*QUICK)
    assert (done.code, done.err) == (130, "\ninterrupted\n")


@pytest.mark.parametrize("no_color", [False, True])
def test_bold_type_in_a_terminal_only(bare_machine, no_pictures, capsys, monkeypatch, no_color):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    main(QUICK)
    out = capsys.readouterr().out
    assert ("\x1b[1mtest accuracy" in out) is not no_color


def test_the_recipe_for_the_shipped_set_reaches_80_percent():
    """Fewer epochs than the default, which takes a few seconds more and gets further."""
    shipped = data.load("fashion-mnist-mini")
    rng = np.random.default_rng(0)
    layers = [nn.Linear(784, 128, rng=rng), nn.ReLU(), nn.Linear(128, 64, rng=rng), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 10, rng=rng))
    loader = data.Loader(shipped.train_images, shipped.train_labels, batch_size=32)
    history = train.fit(
        model,
        nn.CrossEntropyLoss(),
        optim.Adam(model.parameters()),
        loader,
        epochs=4,
        validation=(shipped.test_images, shipped.test_labels),
        progress=False,
    )
    assert max(history["validation_accuracy"]) > 0.8
