"""Running: what is done is not done again, and what was interrupted goes on, bit for bit."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_reports import SMALL, small_jobs

from tinygrad_fm import data, reports
from tinygrad_fm.data import DatasetNotFoundError
from tinygrad_fm.reports.best import mirrored
from tinygrad_fm.reports.jobs import LONG, estimate, jobs_of, run_job
from tinygrad_fm.reports.measures import measure
from tinygrad_fm.reports.prepare import find, prepare, shuffled
from tinygrad_fm.reports.recipe import Data
from tinygrad_fm.reports.results import read_result
from tinygrad_fm.reports.runner import in_order, run_jobs
from tinygrad_fm.reports.training import run_training

ROWS = ("zheng/Z5/0.01", "cheng/C1", "dewangan/D1", "korssjoen/K1", "kong/Q2")


class Interrupt:
    """Ctrl-C, so many batches into the training."""

    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, state):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("row", ROWS)
def test_an_interrupted_training_goes_on_to_the_same_bits(row, tmp_path):
    job = next(small_jobs(row))
    recipe = job.recipe
    if recipe.steps:
        recipe = dataclasses.replace(recipe, steps=3)
    prepared = prepare(recipe, job.seed, images=300, name=SMALL["data"])
    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        folder.mkdir()
    whole = run_training(recipe, prepared, job.seed, folder=folders[0], epochs=3)
    batches = len(whole.history.batch_losses) // 3
    with pytest.raises(KeyboardInterrupt):
        run_training(
            recipe, prepared, job.seed, folder=folders[1], epochs=3,
            callbacks=[Interrupt(batches + 1)],
        )  # fmt: skip
    resumed = run_training(recipe, prepared, job.seed, folder=folders[1], epochs=3)
    assert resumed.history.batch_losses == whole.history.batch_losses
    assert resumed.first == whole.first
    for name, values in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name], values)


def test_what_is_done_is_read_and_not_done_again(tmp_path, monkeypatch):
    job = next(small_jobs("dewangan/D1"))
    first = run_job(job, tmp_path)
    monkeypatch.setattr("tinygrad_fm.reports.jobs.run_training", None)
    assert run_job(job, tmp_path) == first


def test_a_finished_training_leaves_result_and_weights(tmp_path):
    job = next(small_jobs("cheng/C1"))
    run_job(job, tmp_path)
    names = {path.name for path in job.folder(tmp_path).iterdir()}
    assert names == {
        "result.json",
        "start.safetensors",
        "epoch-1.safetensors",
        "final.safetensors",
    }


def test_several_processes_give_the_results_of_one(tmp_path):
    jobs = [*small_jobs("dewangan/D14"), *small_jobs("dewangan/D1"), *small_jobs("kong/Q1")]
    alone = {job: result["measures"] for job, result in run_jobs(jobs, tmp_path / "one", 1, False)}
    beside = {job: result["measures"] for job, result in run_jobs(jobs, tmp_path / "two", 2)}
    assert alone == beside
    assert set(alone) == set(jobs)


def test_a_process_that_fails_is_named(tmp_path):
    (job,) = small_jobs("dewangan/D1", data="no-such-set")
    with pytest.raises(RuntimeError, match="dewangan/D1, seed 0 failed, with exit code 1"):
        list(run_jobs([job], tmp_path, 2))


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_ends_the_command_and_keeps_whole_epochs(processes, tmp_path):
    words = ["report", "run", "dewangan/D1", "--data", SMALL["data"], "--images", "500"]
    words += ["--seed", "0", "--folder", str(tmp_path), "--jobs", processes]
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_fm", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    waited = time.monotonic() + 60
    while not (checkpoint := list(tmp_path.rglob("last.safetensors"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < waited
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if process.returncode:  # it may have been through already
        assert process.returncode == 130
        assert checkpoint[0].exists()
        assert not list(tmp_path.rglob("result.json"))


def test_every_case_runs_once_before_any_runs_again_and_the_longest_runs_last():
    jobs = in_order([j for r, e, _ in reports.find("all") for j in jobs_of(r, e) if not j.fold])
    assert {job.name.split("/")[0] for job in jobs[-3:]} == {"korssjoen"}
    short = [job for job in jobs if estimate(job.recipe) <= LONG]
    order = [job.recipe.seeds.index(job.seed) for job in short]
    assert order == sorted(order)


# ---- data ----------------------------------------------------------------------------------------


def test_a_stand_in_is_taken_where_kmnist_is_missing(bare_machine, monkeypatch):
    wanted = Data(name="kmnist", otherwise="fashion-mnist-mini")
    found, name = find(wanted)
    assert name == "fashion-mnist-mini instead of kmnist"
    assert found.name == "fashion-mnist-mini"
    with pytest.raises(DatasetNotFoundError, match="kmnist"):
        find(Data(name="kmnist"))


def test_kmnists_test_images_alone_are_split(bare_machine, monkeypatch):
    whole = data.load("fashion-mnist-mini")

    def load(name, root=None, *, parts="all"):
        if parts == "all":
            raise DatasetNotFoundError("only the test part")
        none = {"train_images": whole.train_images[:0], "train_labels": whole.train_labels[:0]}
        return dataclasses.replace(whole, name=name, **none)

    monkeypatch.setattr("tinygrad_fm.reports.prepare.data.load", load)
    found, name = find(Data(name="kmnist", otherwise="fashion-mnist"))
    assert name == "kmnist's test images alone, split 80 to 20"
    assert (len(found.train_images), len(found.test_images)) == (800, 200)
    labels = np.concatenate([found.train_labels, found.test_labels])
    np.testing.assert_array_equal(np.sort(labels), np.sort(whole.test_labels))


def test_held_out_images_are_not_trained_on_unless_the_report_does():
    rows, held = shuffled(0.2, 100, 3)
    assert len(held) == 20
    assert sorted([*rows, *held]) == list(range(100))
    assert not np.array_equal(held, shuffled(0.2, 100, 4)[1])
    np.testing.assert_array_equal(
        shuffled(0.2, 100, 3, always=9)[1], shuffled(0.2, 100, 4, always=9)[1]
    )
    table, honest = (
        next(small_jobs("cheng/C5/50", variants=[v])).recipe for v in ("as-printed", "as-meant")
    )
    parts = [prepare(r, 0, images=120, name=SMALL["data"]) for r in (table, honest)]
    assert [len(p.train[0]) for p in parts] == [120, 100]
    assert [len(p.validation[0]) for p in parts] == [20, 20]


def test_each_preparation_does_what_it_says():
    recipe = next(small_jobs("dewangan/D1")).recipe
    images = data.load(SMALL["data"]).train_images[:200].reshape(200, -1) / 255
    expected = {
        "raw": images * 255,
        "scaled": images,
        "centred": images - 0.5,
        "global z-score": (images - images.mean()) / images.std(),
        "image z-score": (images - images.mean(1, keepdims=True)) / images.std(1, keepdims=True),
    }
    for name, values in expected.items():
        changed = dataclasses.replace(recipe, data=Data(prepare=name))
        prepared = prepare(changed, 0, images=200, name=SMALL["data"])
        found = np.concatenate([x for x, _ in prepared.batches(prepared.train)])
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


def test_test_images_are_standardised_by_themselves_only_where_that_is_said():
    printed, meant = (
        next(small_jobs("kong/Q2", variants=[v])).recipe for v in ("as-printed", "as-meant")
    )
    for recipe, by_itself in ((printed, True), (meant, False)):
        prepared = prepare(recipe, 0, images=600, name=SMALL["data"])
        mean = prepared.test[0].mean()
        assert (abs(mean) < 1e-6) == by_itself


def test_the_file_of_a_result_is_what_was_returned(tmp_path):
    job = next(small_jobs("korssjoen/K1"))
    assert run_job(job, tmp_path) == read_result(job.folder(tmp_path) / "result.json")


def test_a_training_that_diverges_ends_with_one_answer_to_every_image(tmp_path):
    job = next(small_jobs("cheng/C2", variants=["as-printed"], images=300))
    result = run_job(job, tmp_path)
    assert "nan" in result["diverged"]
    matrix = np.array(result["measures"]["confusion matrix"])
    assert np.count_nonzero(matrix.sum(axis=0)) == 1


def test_a_training_that_diverges_keeps_the_best_epoch_before_where_the_recipe_does(tmp_path):
    class Spoil:
        """An infinite weight, in the second epoch."""

        def on_batch_end(self, state):
            if state.epoch == 2:
                state.model[0].weight.data[...] = np.inf

    recipe = next(small_jobs("cheng/C1")).recipe
    prepared = prepare(recipe, 0, images=300, name=SMALL["data"])
    spoilt = run_training(recipe, prepared, 0, folder=tmp_path, epochs=3, callbacks=[Spoil()])
    assert "epoch 2" in spoilt.diverged
    assert len(spoilt.history) == 1
    assert np.isfinite(spoilt.model[0].weight.data).all()


def test_the_answers_to_several_views_of_an_image_are_averaged(tmp_path):
    recipe = next(small_jobs("korssjoen/K1")).recipe
    prepared = prepare(recipe, 0, images=200, name=SMALL["data"])
    outcome = run_training(recipe, prepared, 0, folder=tmp_path, epochs=2)
    images, labels = prepared.test
    scores = [outcome.model.predict(x.reshape(len(x), -1)) for x in (images, images[..., ::-1])]
    shares = [np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in scores]
    mean = (shares[0] + shares[1]) / 2
    found = measure(outcome, prepared, (lambda x: mirrored(x.reshape(-1, 28, 28)),))
    assert found["test accuracy"] == np.mean(mean.argmax(axis=1) == labels)
    assert found["test accuracy of one view"] == np.mean(scores[0].argmax(axis=1) == labels)
    assert np.any(mean.argmax(axis=1) != scores[0].argmax(axis=1))
    alone = measure(outcome, prepared)
    assert alone["test accuracy"] == found["test accuracy of one view"]
    assert "test accuracy of one view" not in alone
    own = -np.log(mean[np.arange(len(labels)), labels]).mean()
    extra = alone["test loss"] + np.log(shares[0][np.arange(len(labels)), labels]).mean()
    np.testing.assert_allclose(found["test loss"], own + extra, rtol=1e-5)  # with the penalty
