"""Weights on disk: they come back bit for bit, and what does not fit is refused."""

import numpy as np
import pytest

from tinygrad_fm import nn, train


@pytest.fixture
def saved(make_model, tmp_path):
    return train.save_weights(make_model(), tmp_path / "weights.safetensors")


def test_weights_come_back_bit_for_bit(make_model, saved):
    model, other = make_model(), make_model()
    for parameter in other.parameters():
        parameter.data = np.zeros_like(parameter.data)
    train.load_weights(other, saved)
    for name, values in model.state_dict().items():
        assert other.state_dict()[name].tobytes() == values.tobytes()


def test_the_file_is_an_ordinary_safetensors_file(make_model, tmp_path):
    from safetensors import safe_open

    path = train.save_weights(make_model(), tmp_path / "w.safetensors", {"made by": "a test"})
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
        assert file.metadata() == {"made by": "a test"}
        assert file.get_tensor("0.weight").shape == (4, 8)


def test_an_existing_file_is_replaced_as_a_whole(make_model, saved, monkeypatch):
    from pathlib import Path

    before = saved.read_bytes()

    def fail(self, content):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk is full"):
        train.save_weights(make_model(), saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    train.save_weights(make_model(), saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_float64_weights_fit_a_float32_model(make_model, tmp_path):
    wide = nn.Sequential(
        nn.Linear(4, 8, rng=0, dtype=np.float64), nn.ReLU(), nn.Linear(8, 3, dtype=np.float64)
    )
    model = make_model()
    train.load_weights(model, train.save_weights(wide, tmp_path / "wide.safetensors"))
    assert model[0].weight.dtype == np.float32
    np.testing.assert_array_equal(model[0].weight.data, wide[0].weight.data.astype(np.float32))


def test_a_missing_file_is_named(make_model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights to load: .*absent does not exist"):
        train.load_weights(make_model(), tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        train.load_weights(make_model(), tmp_path)


def test_a_missing_folder_is_named(make_model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent"):
        train.save_weights(make_model(), tmp_path / "absent" / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 100])
def test_other_files_are_refused(make_model, tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w.safetensors is not a safetensors file, or is damaged"):
        train.load_weights(make_model(), path)


def test_a_cut_file_is_refused(make_model, saved):
    saved.write_bytes(saved.read_bytes()[:-7])
    with pytest.raises(ValueError, match="damaged"):
        train.load_weights(make_model(), saved)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Linear(4, 8)), "unknown '2.weight'"),
        (
            nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3)),
            r"'0.weight' has shape \(4, 8",
        ),
    ],
)
def test_weights_of_another_model_are_refused_and_change_nothing(saved, other, message):
    before = other.state_dict()
    with pytest.raises(ValueError, match=message) as caught:
        train.load_weights(other, saved)
    assert str(saved) in str(caught.value)
    for name, values in other.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("name", ["w.npz", "w.PT", "w.pkl"])
def test_weights_are_not_written_under_the_name_of_another_format(name, tmp_path):
    with pytest.raises(ValueError, match=r"write 'w\.safetensors'"):
        train.save_weights(nn.Linear(2, 2, rng=0), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_model_comes_before_the_path(tmp_path):
    with pytest.raises(TypeError, match=r"save_weights\(model, path\): the first argument is 'w"):
        train.save_weights("w.safetensors", nn.Linear(2, 2, rng=0))
