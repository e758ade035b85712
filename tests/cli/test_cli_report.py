"""`tinygrad-fm report`: list, run, compare, page."""

import re

import pytest

from tinygrad_fm import plots, reports
from tinygrad_fm.reports.jobs import jobs_of
from tinygrad_fm.reports.results import write_result

SMALL = ("--data", "fashion-mnist-mini", "--images", "200", "--epochs", "2")


def test_list_says_what_there_is_how_long_it_takes_and_how_to_run_it(command):
    answer = command("report", "list")
    assert answer.code == 0
    rows = {f"{report.name}/{e.row}" for report, e, _ in reports.find("all")}
    assert rows <= set(answer.out.split())
    assert "tinygrad-fm report run all --both --jobs 2" in answer.out
    assert re.search(r"About [\d.]+ h on one core", answer.out)


def test_run_prints_reported_and_measured_numbers_and_does_not_run_twice(command):
    words = ("report", "run", "dewangan/D1", *SMALL, "--seed", "0")
    first, second = command(*words), command(*words)
    assert first.code == second.code == 0
    line = next(x for x in first.out.splitlines() if "test accuracy" in x)
    assert "0.7836" in line
    assert "epoch 1/2" in first.out
    assert "epoch 1/2" not in second.out
    assert line in second.out


def test_what_is_measured_without_a_reported_number_is_shown_too(command):
    answer = command("report", "run", "zheng/Z1", *SMALL, "--as-meant", "--seed", "1")
    assert "zheng/Z1, as-meant, seed 1" in answer.out


def test_several_trainings_say_how_far_they_are(command):
    answer = command("report", "run", "dewangan/D1", *SMALL)
    assert answer.code == 0
    assert "1 of 3 done, about" in answer.out
    assert "epoch 1/2" not in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "zhang"), "did you mean 'zheng'"),
        (("run", "zheng/Z99"), "'Z99' is no experiment of zheng"),
        (("run", "zheng/Z1", "--jobs", "0"), "--jobs is at least 1, not 0"),
        (("run", "zheng/Z1", "--epochs", "-1"), "--epochs is at least 1, not -1"),
        (("run", "dewangan/D1", "--as-meant"), "leave out --as-meant"),
        (("run", "zheng/Z1", "--as-meant", "--both"), "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_refused(command, words, message):
    answer = command("report", *words)
    assert answer.code == 2
    assert message in answer.err


def test_a_missing_data_set_is_explained(command):
    answer = command("report", "run", "zheng/Z1")
    assert answer.code == 1
    assert "tinygrad-fm data fetch fashion-mnist" in answer.err


@pytest.mark.parametrize("verb", ["compare", "page"])
def test_where_nothing_was_run_it_says_how_to_begin(command, verb):
    if verb == "page" and not plots.available():
        pytest.skip("needs matplotlib")
    answer = command("report", verb)
    assert answer.code == 1
    assert "tinygrad-fm report run" in answer.err


@pytest.fixture
def pretended(bare_machine):
    """Results of a search that nobody computed."""
    (report, experiment, _), *_ = reports.find("zheng/Z4")
    for i, job in enumerate(jobs_of(report, experiment)):
        folder = job.folder(bare_machine / "runs" / "reports")
        folder.mkdir(parents=True)
        history = [{"validation_accuracy": 0.5 + i / 300}]
        facts = {"name": job.name, "seed": job.seed, "data": "fashion-mnist", "diverged": ""}
        result = {"measures": {}, "history": history, "losses": [], "seconds": 1.0, **facts}
        write_result(folder / "result.json", result)
    return bare_machine


def test_compare_prints_a_table_and_writes_it(command, pretended):
    answer = command("report", "compare", "--out", "RESULTS.md")
    assert answer.code == 0
    assert len(re.findall(r"zheng/Z4/reg 0\.\d+, lr 0\.\d+ +best validation", answer.out)) == 21
    text = (pretended / "RESULTS.md").read_text(encoding="utf-8")
    assert text.count("| zheng/Z4/reg ") == 21
    assert command("report", "compare", "--out", "no/such/RESULTS.md").code == 1


@pytest.mark.skipif(not plots.available(), reason="needs matplotlib")
def test_the_page_is_one_file_that_needs_nothing_else(command, pretended):
    answer = command("report", "page", "--out", "page.html")
    assert answer.code == 0
    assert "2 figures" in answer.out
    page = (pretended / "page.html").read_text(encoding="utf-8")
    assert "{{" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count("<figure>") == 2
    assert "Random search, five folds" in page


def test_the_page_needs_matplotlib(command, no_pictures):
    answer = command("report", "page")
    assert answer.code == 1
    assert "tinygrad_fm[plot]" in answer.err
