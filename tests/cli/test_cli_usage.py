"""Wrong usage: exit code 2, a short message on stderr that suggests what was meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_fm


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["trian"],
            "plot, graph, check, report, data, doctor; did you mean 'train'",
        ),
        (["data", "inf"], "unknown command: 'inf' is none of info, fetch; did you mean 'info'?"),
        (["train", "--epoch", "3"], "unknown option --epoch; did you mean '--epochs'?"),
        (["train", "--batchsize=3"], "unknown option --batchsize; did you mean '--batch-size'?"),
        (["--verison"], "unknown option --verison; did you mean '--version'?"),
        (["doctor", "--xyz"], "unknown option --xyz\n"),
        (["doctor", "now"], "one word too many: 'now'"),
        (["data", "fetch"], "the following arguments are required: NAME"),
        (["train", "--epochs", "0"], "argument --epochs: expected a whole number, at least 1, not"),
        (["train", "--seed", "x"], "argument --seed: expected a whole number, at least 0, not 'x'"),
        (["train", "--lr", "nan"], "argument --lr: expected a number above 0, not 'nan'"),
        (["train", "--lr", "much"], "argument --lr: expected a number above 0, not 'much'"),
        (["train", "--momentum", "1"], "expected a number from 0 and below 1, not '1'"),
        (["train", "--hidden", "8,0"], "expected whole numbers above 0 with commas between"),
        (["train", "--hidden", "8x"], "as in 128,64, not '8x'"),
        (["train", "--optimizer", "adm"], "adagrad, not 'adm'; did you mean 'adam'?"),
        (["train", "--model", "cn"], "argument --model: expected one of mlp, cnn, not 'cn'; did "),
        (["train", "--activation", "rel"], "expected one of relu, leaky_relu, tanh, sigmoid, gel"),
        (["train", "--schedule", "cosin"], "not 'cosin'; did you mean 'cosine'?"),
        (["train", "--schedule", "step:0,0.5"], "expected constant, step:EPOCHS,FACTOR, expone"),
        (["train", "--schedule", "drop:2"], "drop:FACTOR, not 'drop:2'"),
        (["train", "--schedule", "step:3"], "not 'step:3'"),
        (["train", "--dropout", "1"], "argument --dropout: expected a number from 0 and below 1"),
        (["train", "--weight-decay", "0.1"], "--weight-decay is for --optimizer adamw, not adam"),
        (["train", "--channels", "8"], "--channels is for --model cnn, not mlp"),
        (
            ["train", "--early-stopping", "3", "--validation", "0"],
            "hold some out, as with --validation 0.1",
        ),
        (
            ["train", "--early-stopping", "3", "--batch-size", "6000"],
            "more than the 5,400 training images of fashion-mnist-mini that are not held out",
        ),
        (["predict", "runs/001"], "the following arguments are required: IMAGE"),
        (["plot", "--format", "jpg", "x"], "'jpg' is none of png, svg"),
        (["train", "--momentum", "0.5"], "--momentum is for --optimizer sgd, not adam"),
        (["train", "--data", "fashion"], "unknown data set 'fashion'; did you mean 'fashion-mnis"),
        (["data", "info", "fashoin-mnist"], "did you mean 'fashion-mnist'?"),
        (["data", "fetch", "cifar"], "unknown data set 'cifar'; expected one of"),
        (
            ["train", "--batch-size", "7000"],
            "--batch-size 7,000 is more than the 6,000 training images of fashion-mnist-mini",
        ),
    ],
)
def test_it_is_refused_with_a_suggestion(command, bare_machine, words, message):
    done = command(*words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 2
    assert done.err.splitlines()[1].endswith(" --help")
    assert not done.out
    assert not list(bare_machine.iterdir())


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_command_it_shows_the_help(command, words):
    done = command(*words)
    assert done.code == 2
    assert done.err.startswith("usage: tinygrad-fm")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "info", "-h"]])
def test_help_is_no_failure(command, words):
    done = command(*words)
    assert done.code == 0
    assert done.out.startswith("usage: tinygrad-fm")


def test_version(command):
    done = command("--version")
    assert (done.code, done.out) == (0, f"tinygrad-fm {tinygrad_fm.__version__}\n")


def test_python_m_is_the_same_and_a_closed_pipe_is_quiet(bare_machine):
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_fm.__file__).parents[1])}

    def run(*words, **options):
        program = [sys.executable, "-W", "error", "-m", "tinygrad_fm", *words]
        return subprocess.Popen(program, env=environment, text=True, stderr=-1, **options)

    with run("data", "info", "nothing", stdout=-1) as failed:
        out, err = failed.communicate()
        assert (failed.returncode, out) == (2, "")
        assert err.startswith("tinygrad-fm data info: unknown data set 'nothing'")
    read, write = os.pipe()
    os.close(read)
    with run("data", "info", stdout=write) as cut:
        os.close(write)
        assert cut.communicate()[1] == ""
        assert cut.returncode == 1
