"""Bad configurations: each has an error that names the value and what was expected."""

import numpy as np
import pytest

from tinygrad_fm import data, nn, optim, train
from tinygrad_fm.cli.settings import read_config
from tinygrad_fm.cli.text import CommandError

X, Y = np.random.default_rng(0).random((30, 4), np.float32), np.arange(30) % 3


def fit(x=X, y=Y, *, inputs=4, classes=3, lr=0.1, batch_size=10, validation=None, **options):
    """Train a network of one layer; what is wrong with it is in the arguments."""
    model = nn.Linear(inputs, classes, rng=0)
    loader = data.Loader(x, y, batch_size=batch_size, **options)
    optimizer = optim.SGD(model.parameters(), lr)
    loss = nn.CrossEntropyLoss()
    train.fit(model, loss, optimizer, loader, epochs=1, validation=validation, progress=False)


def config(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    read_config(path)


WITH_NAN = np.where(np.arange(4) == 2, np.nan, X)
BAD = {
    "fewer outputs than classes": (
        lambda _: fit(classes=2),
        ValueError,
        r"label 2 is no class: logits of shape \(10, 2\) have the classes 0 to 1",
    ),
    "one-hot labels of another width": (
        lambda _: fit(y=np.eye(4, dtype=np.float32)[Y]),
        ValueError,
        r"labels have shape \(10, 4\); for logits of shape \(10, 3\)",
    ),
    "a label out of range": (
        lambda _: fit(y=np.where(Y == 2, 7, Y), classes=3),
        ValueError,
        "label 7 is no class",
    ),
    "a negative label": (
        lambda _: fit(y=Y - 1),
        ValueError,
        "label -1 is no class",
    ),
    "a label out of range, seen before training": (
        lambda _: data.Loader(X, Y, batch_size=3, classes=2),
        data.DataError,
        r"the label 2 at index \(2\); expected 0 to 1, for classes=2",
    ),
    "labels that are no integers": (
        lambda _: fit(y=Y.astype(np.float32)),
        TypeError,
        r"labels of shape \(10,\) are class numbers and need an integer dtype, not float32",
    ),
    "a layer for other inputs": (
        lambda _: fit(inputs=5),
        ValueError,
        r"got x of shape \(10, 4\); its last axis must be 5",
    ),
    "more labels than examples": (
        lambda _: fit(x=X[:20]),
        data.DataError,
        "20 images but 30 labels; expected one label for each image",
    ),
    "a validation set of another length": (
        lambda _: fit(validation=(X, Y[:9])),
        ValueError,
        r"validation: x has shape \(30, 4\) and y \(9,\)",
    ),
    "a negative learning rate": (
        lambda _: fit(lr=-0.1),
        ValueError,
        "SGD: lr is at least 0, not -0.1",
    ),
    "a learning rate that is no number": (
        lambda _: fit(lr=float("nan")),
        ValueError,
        "SGD: lr is at least 0, not nan",
    ),
    "a learning rate that is too large": (
        lambda _: fit(lr=1e38, batch_size=1),
        train.NonFiniteError,
        r"the learning rate, 1e\+38, is too large",
    ),
    "an empty data set": (
        lambda _: fit(x=X[:0], y=Y[:0]),
        data.DataError,
        "with at least one example",
    ),
    "an empty validation set": (
        lambda _: fit(validation=(X[:0], Y[:0])),
        ValueError,
        r"validation: x has shape \(0, 4\) and y \(0,\); .* with at least one example",
    ),
    "a batch larger than the data": (
        lambda _: fit(batch_size=31),
        data.DataError,
        "batch_size 31 is larger than the 30 examples; expected at most 30",
    ),
    "NaN in the data": (
        lambda _: fit(x=WITH_NAN),
        data.DataError,
        r"images that contain nan at index \(0, 2\)",
    ),
    "NaN in a list of batches": (
        lambda _: train.fit(
            model := nn.Linear(4, 3, rng=0),
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters(), 0.1),
            [(WITH_NAN, Y)],
            epochs=1,
            progress=False,
        ),
        train.NonFiniteError,
        "the batch itself is not finite: x, row 0",
    ),
    "an unknown key in a configuration": (
        lambda tmp_path: config(tmp_path, "learning_rate = 0.1\nepohcs = 3"),
        CommandError,
        "unknown key 'learning_rate'",
    ),
    "a misspelt key in a configuration": (
        lambda tmp_path: config(tmp_path, "epohcs = 3"),
        CommandError,
        "unknown key 'epohcs'; did you mean 'epochs'?",
    ),
    "a wrong type in a configuration": (
        lambda tmp_path: config(tmp_path, 'epochs = "three"'),
        CommandError,
        "epochs: expected a whole number, at least 1, not 'three'",
    ),
    "a negative learning rate in a configuration": (
        lambda tmp_path: config(tmp_path, "lr = -1"),
        CommandError,
        "lr: expected a number above 0, not -1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused(name, tmp_path):
    run, error, message = BAD[name]
    with pytest.raises(error, match=message):
        run(tmp_path)
