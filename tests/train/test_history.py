"""History: records, columns, the table it prints as, and the file it is kept in."""

import json
import math

import numpy as np
import pytest

from tinygrad_fm.train import History


@pytest.fixture
def history():
    return History(
        {
            "epoch": n,
            "train_loss": 1 / n,
            "train_accuracy": 1 - 1 / (n + 1),
            "lr": 0.001,
            "seconds": 0.25,
        }
        for n in (1, 2, 3)
    )


def test_records_and_columns(history):
    assert len(history) == 3
    assert history[-1]["epoch"] == 3
    assert history[:2] == [history[0], history[1]]
    assert history["train_loss"] == [1, 1 / 2, 1 / 3]
    assert list(history.columns) == ["epoch", "train_loss", "train_accuracy", "lr", "seconds"]
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_a_column_has_none_where_a_record_lacks_it(history):
    history[1]["note"] = "here"
    assert history["note"] == [None, "here", None]


def test_an_unknown_column_lists_the_known_ones(history):
    with pytest.raises(KeyError, match="no column 'loss'; there are epoch, train_loss, "):
        history["loss"]
    with pytest.raises(KeyError, match="no records"):
        History()["loss"]


def test_it_prints_as_a_table(history):
    assert repr(history) == (
        "History of 3 epochs\n"
        "epoch  train loss  accuracy     lr  seconds\n"
        "    1      1.0000    50.00%  0.001     0.25\n"
        "    2      0.5000    66.67%  0.001     0.25\n"
        "    3      0.3333    75.00%  0.001     0.25"
    )


def test_it_prints_other_columns_too_and_empty_ones_not(history):
    history[0].update({"validation_loss": None, "norm": 1.25})
    assert repr(history).splitlines()[1].endswith("seconds  norm")
    assert "validation" not in repr(history)
    assert repr(history).splitlines()[3].endswith("   -")


def test_a_long_one_is_cut_in_the_middle(history):
    lines = repr(History(history[0] | {"epoch": n} for n in range(1, 101))).splitlines()
    assert len(lines) == 2 + 20 + 1
    assert lines[12].strip() == "... 80 more ..."
    assert lines[-1].startswith("  100")


def test_an_empty_one_prints_too():
    empty = History()
    empty.interrupted = True
    assert repr(empty) == "History of 0 epochs, interrupted"


@pytest.mark.parametrize("interrupted", [False, True])
def test_it_is_the_same_after_saving_and_loading(history, tmp_path, interrupted):
    history.interrupted = interrupted
    history[1].update({"train_loss": math.inf, "note": "text", "lr": None})
    history[2]["seconds"] = np.float32(0.5)
    assert history.save(tmp_path / "history.jsonl") == tmp_path / "history.jsonl"
    assert History.load(tmp_path / "history.jsonl") == history
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_every_line_is_strict_json(history, tmp_path):
    history[0].update({"train_loss": math.nan, "lr": -math.inf})
    path = history.save(tmp_path / "history.jsonl")

    def refuse(word):
        raise AssertionError(word)

    first = json.loads(path.read_text().splitlines()[0], parse_constant=refuse)
    assert (first["train_loss"], first["lr"]) == ("NaN", "-Infinity")
    loaded = History.load(path)
    assert math.isnan(loaded[0]["train_loss"])
    assert loaded[0]["lr"] == -math.inf


@pytest.mark.parametrize(("line", "message"), [("{", "line 2, is no JSON"), ("3", "is no record")])
def test_other_files_are_refused(history, tmp_path, line, message):
    path = tmp_path / "history.jsonl"
    path.write_text(f'{{"epoch": 1}}\n{line}\n')
    with pytest.raises(ValueError, match=message):
        History.load(path)


def test_a_folder_that_is_missing_is_named(history, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent; create it first"):
        history.save(tmp_path / "absent" / "history.jsonl")


def test_a_failed_save_leaves_the_old_file(history, tmp_path):
    path = history.save(tmp_path / "history.jsonl")
    before = path.read_text()
    history[0]["model"] = object()
    with pytest.raises(TypeError):
        history.save(path)
    assert path.read_text() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_losses_of_batches_are_kept_and_saved(tmp_path):
    history = History()
    history.append({"epoch": 1}, [3.0, 2.0])
    history.append({"epoch": 2}, [0.1, math.inf])
    assert history.batch_losses == [3.0, 2.0, 0.1, math.inf]
    assert list(history.columns) == ["epoch"]
    loaded = History.load(history.save(tmp_path / "history.jsonl"))
    assert loaded == history
    assert loaded.batch_losses == history.batch_losses
    assert history != History([{"epoch": 1}, {"epoch": 2}])


def test_it_plots_itself(history):
    pytest.importorskip("matplotlib")
    figure = history.plot(title="a title")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy"]


def test_the_losses_of_a_long_epoch_become_means_of_equal_parts():
    history = History()
    history.append({"epoch": 1}, [1.0, 2.0])
    history.append({"epoch": 2}, [1.0, 3.0, 5.0, 7.0, 9.0])
    history.shorten_last(2)
    assert history.batch_losses == [1, 2, 2, 7]
    history.shorten_last(2)
    assert history.batch_losses == [1, 2, 2, 7]
    History().shorten_last(3)
