"""tinygrad-fm evaluate, predict and plot: on a small run, and on what is no run."""

import json
import shutil
import sys

import numpy as np
import pytest

from tinygrad_fm import data, train
from tinygrad_fm.cli import main
from tinygrad_fm.cli.saved import SavedRun

MINI = data.load("fashion-mnist-mini")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Two finished runs: a perceptron with all that one can have, and a tiny convolutional one."""
    home = tmp_path_factory.mktemp("trained")
    common = ["train", "--data", "fashion-mnist-mini", "--epochs", "1", "--batch-size", "500"]
    mlp = ["--hidden", "16", "--batch-norm", "--dropout", "0.1", "--out", str(home / "mlp")]
    cnn = ["--model", "cnn", "--channels", "1,2", "--out", str(home / "cnn")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_fm.plots.available", lambda: False)
        patch.setattr("tinygrad_fm.graph.render.find_renderer", lambda kind="svg": None)
        assert main([*common, *mlp]) == main([*common, *cnn]) == 0
    return home


@pytest.fixture
def run(trained, bare_machine):
    """The perceptron's run as the folder `run`."""
    shutil.copytree(trained / "mlp", bare_machine / "run")
    return bare_machine / "run"


def image_file(folder, name, array, mode=None):
    image = pytest.importorskip("PIL.Image").fromarray(array)
    (image.convert(mode) if mode else image).save(folder / name)
    return name


# ---- evaluate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_evaluate_measures_what_the_training_measured(command, trained, kind):
    done = command("evaluate", str(trained / kind))
    result = json.loads((trained / kind / "result.json").read_text())
    assert (done.code, done.err) == (0, "")
    assert f"accuracy {result['test_accuracy']:.2%}" in done.out
    assert f"loss {result['test_loss']:.4f}" in done.out
    assert "macro average" in done.out
    found = json.loads(command("evaluate", str(trained / kind), "--json").out)
    assert (found["accuracy"], found["loss"]) == (result["test_accuracy"], result["test_loss"])
    assert np.trace(found["confusion_matrix"]) == round(1000 * found["accuracy"])
    assert list(found["classes"]) == list(MINI.class_names)


def test_evaluate_takes_another_set_with_the_same_classes(command, run):
    done = command("evaluate", "run", "--data", "kmnist")
    assert (done.code, "kmnist (test part) was not found" in done.err) == (1, True)
    assert "did you mean 'kmnist'" in command("evaluate", "run", "--data", "kmnst").err


# ---- predict -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_predict_says_what_the_network_says(command, trained, bare_machine, kind):
    images = MINI.test_images[:3]
    np.save(bare_machine / "bytes.npy", images)
    np.save(bare_machine / "one.npy", images[0] / 255)
    np.save(bare_machine / "channel.npy", images[:1, None])
    words = ("predict", str(trained / kind), "bytes.npy", "one.npy", "channel.npy")
    found = json.loads(command(*words, "--json").out)
    model, _ = SavedRun.load(str(trained / kind)).model()
    x = data.scale(images)
    x = x[:, None] if kind == "cnn" else data.flatten(x)
    expected = train.predict(model, x, output="probabilities")
    names = ["bytes.npy[0]", "bytes.npy[1]", "bytes.npy[2]", "one.npy", "channel.npy[0]"]
    assert [entry["image"] for entry in found] == names
    for entry, row in zip(found, [*expected, expected[0], expected[0]], strict=True):
        np.testing.assert_allclose(list(entry["probabilities"].values()), row, atol=1e-5)
        assert entry["class"] == MINI.class_names[entry["label"]] == MINI.class_names[row.argmax()]
    table = command(*words).out.splitlines()
    assert table[0].split() == ["image", "class", "probability", "otherwise"]
    assert len(table) == 6
    assert found[0]["class"] in table[1]


def test_pictures_of_every_kind_are_the_same_image(command, run):
    image = MINI.test_images[0]
    rgba = np.dstack([image, image, image, np.full_like(image, 255)])
    hidden = np.dstack([image, image, image, np.where(image > 0, 255, 0).astype(np.uint8)])
    files = [
        image_file(run.parent, "grey.png", image),
        image_file(run.parent, "colour.png", image, "RGB"),
        image_file(run.parent, "alpha.png", rgba),
        image_file(run.parent, "transparent.png", hidden),
        image_file(run.parent, "inverted.png", 255 - image),
    ]
    *same, inverted = json.loads(command("predict", "run", *files, "--json").out)
    assert len({json.dumps(entry["probabilities"]) for entry in same}) == 1
    done = command("predict", "run", "inverted.png", "--invert", "--json")
    again = json.loads(done.out)[0]["probabilities"]
    assert list(again.values()) == pytest.approx(list(same[0]["probabilities"].values()), abs=1e-5)
    assert inverted["probabilities"] != again


def test_a_light_background_is_noted(command, run):
    np.save(run.parent / "dark.npy", MINI.test_images[1])
    np.save(run.parent / "light.npy", 255 - MINI.test_images[1])
    done = command("predict", "run", "dark.npy", "light.npy")
    assert done.code == 0
    assert done.err == (
        "note: light.npy: light background; fashion-mnist-mini, on which the network was trained, "
        "is light on dark: try --invert\n"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.npy",
            np.zeros((28, 27), np.uint8),
            "a.npy is 28x27, but the network was trained on im",
        ),
        ("a.npy", np.zeros((2, 14, 14)), "is 2x14x14, but the network was trained on images of 28"),
        ("a.npy", np.zeros((1, 3, 28, 28)), "is 1x3x28x28, but"),
        ("a.npy", np.zeros((0, 28, 28), np.uint8), "is 0x28x28, but"),
        ("a.npy", np.full((28, 28), 255.0), "holds float64 that are not all from 0 to 1"),
        ("a.npy", np.full((28, 28), np.nan), "holds float64 that are not all from 0 to 1"),
        ("a.npy", np.full((28, 28), -1), "holds numbers from -1 to -1, not 0 to 255"),
        ("a.npy", np.array(["x"]), "a.npy is no .npy file of numbers"),
        ("a.npy", b"no", "a.npy is no .npy file of numbers"),
        ("a.png", b"no", "a.png is no picture that can be read"),
        ("a.png", np.zeros((30, 32), np.uint8), "a.png is 30x32, but the network was trained on"),
        ("a.png", np.zeros((28, 28), np.uint16), "a.png has pixels of mode I;16; expected 8 bits"),
        ("a.png", None, "cannot read an image: a.png does not exist"),
        (".", None, "cannot read an image: . is a folder"),
    ],
)
def test_predict_refuses(command, run, name, content, message):
    if isinstance(content, bytes):
        (run.parent / name).write_bytes(content)
    elif content is not None and name.endswith(".npy"):
        np.save(run.parent / name, content)
    elif content is not None:
        image_file(run.parent, name, content)
    elif name.endswith(".png"):
        pytest.importorskip("PIL")
    done = command("predict", "run", name)
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_without_pillow_it_says_what_to_do(command, run, monkeypatch):
    (run.parent / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    done = command("predict", "run", "a.png")
    assert 'a.png needs Pillow; get it with: pip install "tinygrad_fm[images]", or' in done.err


# ---- plot ----------------------------------------------------------------------------------------

PICTURES = {"curves", "confusion", "mistakes", "weights", "biases", "activations"}


def test_plot_draws_a_run_into_its_folder(command, run):
    pytest.importorskip("matplotlib")
    before = {path.name for path in run.iterdir()}
    done = command("plot", "run")
    assert (done.code, done.err) == (0, "")
    added = {path.name for path in run.iterdir()} - before
    assert added == {f"{name}.png" for name in PICTURES | {"weights-rgb"}}


def test_plot_draws_elsewhere_and_as_svg(command, trained, bare_machine):
    pytest.importorskip("matplotlib")
    done = command("plot", str(trained / "cnn"), "--out", "new/folder", "--format", "svg")
    assert done.code == 0
    names = {path.name for path in (bare_machine / "new" / "folder").iterdir()}
    assert names == {f"{name}.svg" for name in PICTURES}


def test_plot_draws_several_runs_on_top_of_each_other(command, trained, bare_machine):
    pytest.importorskip("matplotlib")
    done = command("plot", str(trained / "mlp"), str(trained / "cnn"), "--out", "both")
    assert done.code == 0
    assert [path.name for path in (bare_machine / "both").iterdir()] == ["overlay.png"]


def test_plot_without_matplotlib_says_how_to_get_it(command, run, no_pictures):
    assert 'pip install "tinygrad_fm[plot]"' in command("plot", "run").err


def test_plot_into_a_file_fails(command, run):
    pytest.importorskip("matplotlib")
    (run.parent / "file").write_text("")
    assert "cannot write pictures to file" in command("plot", "run", "--out", "file").err


# ---- what is no run ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("evaluate", "x"), ("predict", "x", "a.npy"), ("plot", "x")])
def test_what_is_no_run_folder_is_refused(command, bare_machine, words):
    pytest.importorskip("matplotlib")
    done = command(*words)
    assert (done.code, "x is no folder: x/config.toml is missing" in done.err) == (1, True)
    (bare_machine / "x").mkdir()
    assert (
        "x is no run folder: x/config.toml is missing; `tinygrad-fm train`" in command(*words).err
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("result.json", "{}", "run is damaged, or of another version: 'data'"),
        ("result.json", "no", "run is damaged, or of another version"),
        ("config.toml", "epochs = 1", "run is damaged, or of another version"),
        ("weights.safetensors", "no", "weights.safetensors is not a safetensors file"),
    ],
)
def test_a_damaged_run_is_refused(command, run, file, content, message):
    (run / file).write_text(content)
    done = command("evaluate", "run")
    assert (done.code, message in done.err) == (1, True)
