"""Checkpoints: a training that goes on from one ends with the bits of an uninterrupted one."""

import numpy as np
import pytest

from tinygrad_fm import data, nn, optim, train

EPOCHS = 6
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 0.01),
    "adamw": lambda p: optim.AdamW(p, 0.01),
    "rmsprop": lambda p: optim.RMSprop(p, 0.005),
    "adagrad": lambda p: optim.Adagrad(p, 0.05),
}


class Crash(train.Callback):
    """Power fails in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, state):
        if (state.epoch, state.batch) == (self.epoch, 3):
            raise RuntimeError("power failure")


def make(blobs, optimizer="adam", dropout_rng=5):
    """All that a training is made of, new, with everything in it that is random or has state."""
    x, y = blobs
    model = nn.Sequential(
        nn.Linear(4, 8, rng=0),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.2, rng=dropout_rng),
        nn.Linear(8, 3, rng=1),
    )
    loader = data.Loader(x, y, batch_size=20, seed=3)
    made = OPTIMIZERS[optimizer](model.parameters())
    return (model, nn.CrossEntropyLoss(), made, loader), {"validation": blobs, "progress": False}


def callbacks(folder):
    return [
        train.Checkpoint(folder, best="validation_loss"),  # first: it comes last by itself
        train.EarlyStopping(50),
        train.ReduceOnDrop(0.5, "train_loss", mode="max"),  # it drops nearly always
        train.MovingAverage(4),
    ]


def records(history):
    return [{**record, "seconds": 0} for record in history]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_ends_with_the_same_bits(blobs, tmp_path, optimizer):
    nn.init.seed(0)
    setting, options = make(blobs, optimizer)
    whole = train.fit(*setting, epochs=EPOCHS, callbacks=callbacks(tmp_path / "a"), **options)
    expected = setting[0].state_dict()

    setting, options = make(blobs, optimizer)
    with pytest.raises(RuntimeError, match="power failure"):
        train.fit(
            *setting, epochs=EPOCHS, callbacks=[*callbacks(tmp_path / "b"), Crash(4)], **options
        )
    setting, options = make(blobs, optimizer, dropout_rng=99)  # another state: it is restored
    last = tmp_path / "b" / "last.safetensors"
    again = train.fit(
        *setting, epochs=EPOCHS, callbacks=callbacks(tmp_path / "b"), resume_from=last, **options
    )
    assert records(again) == records(whole)
    assert again.batch_losses == whole.batch_losses
    for name, values in setting[0].state_dict().items():
        assert values.tobytes() == expected[name].tobytes(), name
    for name in ("best", "last"):
        first, second = (nn.Sequential(*make(blobs)[0][0]) for _ in range(2))
        train.load_weights(first, tmp_path / "a" / f"{name}.safetensors")
        train.load_weights(second, tmp_path / "b" / f"{name}.safetensors")
        np.testing.assert_array_equal(first[0].weight.data, second[0].weight.data)


def test_dropout_from_the_default_generator_goes_on_too(blobs, tmp_path):
    def run(epochs, **more):
        setting, options = make(blobs, dropout_rng=None)
        keep = [train.Checkpoint(tmp_path)]
        train.fit(*setting, epochs=epochs, callbacks=keep, **options, **more)
        return setting[0].state_dict()

    nn.init.seed(0)
    whole = run(4)
    nn.init.seed(0)
    run(2)
    nn.init.seed(77)
    resumed = run(4, resume_from=tmp_path / "last.safetensors")
    np.testing.assert_array_equal(whole["0.weight"], resumed["0.weight"])


def test_a_schedule_per_step_goes_on(blobs, tmp_path):
    def run(epochs, **more):
        setting, options = make(blobs)
        schedule = train.ScheduleLR(optim.schedule.cosine(0.05, 36), "step")
        keep = [schedule, train.Checkpoint(tmp_path)]
        return train.fit(*setting, epochs=epochs, callbacks=keep, **options, **more)

    whole = run(EPOCHS)
    run(3)
    assert records(run(EPOCHS, resume_from=tmp_path / "last.safetensors")) == records(whole)


def test_random_batches_go_on(blobs, tmp_path):
    def run(epochs, **more):
        (model, loss, optimizer, _), options = make(blobs)
        rng = np.random.RandomState(1)
        loader = data.RandomBatches(*blobs, batch_size=20, steps=5, rng=rng)
        keep = [train.Checkpoint(tmp_path)]
        return train.fit(model, loss, optimizer, loader, epochs=epochs, callbacks=keep, **options,
                         **more)  # fmt: skip

    whole = run(4)
    run(2)
    assert records(run(4, resume_from=tmp_path / "last.safetensors")) == records(whole)


def test_a_training_that_stopped_early_is_over(blobs, tmp_path):
    def run(**more):
        setting, options = make(blobs)
        stop = train.EarlyStopping(1, "train_loss", mode="max")  # which grows worse at once
        keep = [train.Checkpoint(tmp_path), stop]
        history = train.fit(*setting, epochs=9, callbacks=keep, **options, **more)
        return history, setting[0].state_dict()

    first, weights = run()
    assert len(first) == 2
    again, same = run(resume_from=tmp_path / "last.safetensors")
    assert records(again) == records(first)
    np.testing.assert_array_equal(weights["0.weight"], same["0.weight"])


def test_a_failed_write_leaves_the_last_checkpoint(blobs, tmp_path, monkeypatch):
    from pathlib import Path

    setting, options = make(blobs)
    train.fit(*setting, epochs=1, callbacks=[train.Checkpoint(tmp_path)], **options)
    before = (tmp_path / "last.safetensors").read_bytes()

    def fail(self, content):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk is full"):
        train.fit(*setting, epochs=1, callbacks=[train.Checkpoint(tmp_path)], **options)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def kept(blobs, tmp_path):
    setting, options = make(blobs)
    keep = [train.Checkpoint(tmp_path), train.EarlyStopping(5)]
    train.fit(*setting, epochs=1, callbacks=keep, **options)
    return tmp_path / "last.safetensors"


def test_weights_alone_are_no_checkpoint(blobs, tmp_path):
    setting, options = make(blobs)
    path = train.save_weights(setting[0], tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors holds weights but is no checkpoint"):
        train.fit(*setting, epochs=2, resume_from=path, **options)


def test_another_training_is_refused(blobs, kept, make_model):
    stop = [train.EarlyStopping(5)]
    setting, options = make(blobs)
    with pytest.raises(ValueError, match=r"its callbacks with state are \['EarlyStopping'\], th"):
        train.fit(*setting, epochs=2, resume_from=kept, **options)
    setting, options = make(blobs, "sgd")
    before = setting[0].state_dict()
    with pytest.raises(ValueError, match=r"last\.safetensors: the state has "):
        train.fit(*setting, epochs=2, resume_from=kept, callbacks=stop, **options)
    for name, values in setting[0].state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    model = make_model()
    other = (model, setting[1], optim.Adam(model.parameters()), setting[3])
    with pytest.raises(ValueError, match=r"its random generators are .*model\.3\._rng"):
        train.fit(*other, epochs=2, resume_from=kept, callbacks=stop, **options)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        train.fit(*setting, epochs=2, resume_from=kept.with_name("absent"), **options)


class Scaled(nn.Module):
    """A model with a parameter that is one number."""

    def __init__(self):
        self.layer = nn.Linear(4, 3, rng=0)
        self.scale = nn.Parameter(np.float32(1))

    def forward(self, x):
        return self.layer(x) * self.scale


def test_a_scalar_parameter_goes_on_too(batches, tmp_path):
    def run(folder, epochs, resume_from=None):
        model = Scaled()
        setting = model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), batches
        keep = [train.Checkpoint(folder)]
        train.fit(*setting, epochs=epochs, callbacks=keep, progress=False, resume_from=resume_from)
        return model

    whole = run(tmp_path, 2)
    run(tmp_path, 1)
    resumed = run(tmp_path, 2, tmp_path / "last.safetensors")
    assert resumed.scale.data == whole.scale.data != 1


class Jitter:
    """A transform of a user's own, with a generator of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, x, rng):
        return x + self.rng.standard_normal(x.shape).astype(x.dtype)


class Noisy(nn.Module):
    """A module that keeps its generator in a dictionary, and another in an object."""

    def __init__(self):
        self._rngs = {"first": np.random.default_rng(1)}
        self._jitter = Jitter()
        self.layer = nn.Linear(4, 3, rng=0)

    def forward(self, x):
        return self.layer(self._jitter(x + self._rngs["first"].random(x.shape, np.float32), None))


def test_generators_in_objects_of_the_users_own_go_on_too(blobs, tmp_path):
    def run(epochs, resume_from=None):
        model = Noisy()
        loader = data.Loader(*blobs, batch_size=30, transform=data.Compose(Jitter()))
        setting = model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), loader
        keep = [train.Checkpoint(tmp_path)]
        train.fit(*setting, epochs=epochs, callbacks=keep, progress=False, resume_from=resume_from)
        return model.state_dict()

    whole = run(3)
    run(1)
    resumed = run(3, tmp_path / "last.safetensors")
    for name, values in whole.items():
        np.testing.assert_array_equal(values, resumed[name])
