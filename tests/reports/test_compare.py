"""Comparison: what "exact", "within", "above" and "below" mean, and where the numbers come from."""

import json
import math

import pytest
from small_reports import small_jobs

from tinygrad_fm import reports
from tinygrad_fm.reports import compare
from tinygrad_fm.reports.compare import Line, compare_all
from tinygrad_fm.reports.jobs import jobs_of
from tinygrad_fm.reports.markdown import to_markdown
from tinygrad_fm.reports.measures import look_up
from tinygrad_fm.reports.recipe import Number
from tinygrad_fm.reports.results import read_result, write_result


def line(printed, *runs, measure="test accuracy"):
    runs = [list(run) if isinstance(run, tuple) else [run] for run in runs]
    return Line("zheng/Z1", "as-printed", Number(measure, printed), runs)


@pytest.mark.parametrize(
    ("printed", "runs", "verdict"),
    [
        ("89.64 %", [0.89642, 0.9, 0.91], "exact"),  # the first seed is the report's own
        ("89.64 %", [0.9, 0.89642, 0.91], "within"),
        ("80 %", [0.90, 0.91, 0.92], "above"),
        ("99 %", [0.90, 0.91, 0.92], "below"),
        ("88 %", [0.90, 0.91, 0.92], "above"),  # 0.03 from the mean, and 2 s sqrt(4/3) is 0.0231
        ("88.7 %", [0.90, 0.91, 0.92], "within"),
        ("90 %", [0.911], "one run"),
        (".9", [0.94, 0.94, 0.94], "exact"),
        (".9", [0.96, 0.94, 0.949], "within"),  # half a unit of the last printed digit
    ],
)
def test_a_verdict_is_of_the_difference_beside_the_spread_of_the_runs(printed, runs, verdict):
    assert line(printed, *runs).verdict == verdict


def test_of_several_numbers_the_one_that_differs_most_is_shown():
    several = line(".1 .2 .3", (0.11, 0.2, 0.38), (0.09, 0.2, 0.40), measure="loss by epoch")
    _, measure, reported, measured, spread, difference, verdict = several.cells()
    assert measure == "loss by epoch (3 of 3)"
    assert (reported, measured, difference) == ("0.3000", "0.3900", "+0.0900")
    assert spread == "0.0141"
    assert verdict == "2 within, 1 above"


def test_nan_is_no_agreement():
    assert line("50 %", math.nan, math.nan).verdict == "NaN"
    assert line("50 %", math.nan, math.nan).cells()[3] == "NaN"


RESULT = {
    "measures": {
        "test accuracy": 0.8,
        "recall by class": [0.5, 1.0],
        "first accuracies": [0.1, 0.2],
    },
    "history": [
        {"train_loss": 2.0, "validation_accuracy": 0.5, "measured_accuracy": 0.6},
        {"train_loss": 1.0, "validation_accuracy": 0.4, "measured_accuracy": 0.7},
    ],
    "losses": [float(i) for i in range(200)],
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("test accuracy", [0.8]),
        ("recall by class", [0.5, 1.0]),
        ("validation accuracy by epoch", [0.5, 0.4]),
        ("validation accuracy by epoch from 0", [0.2, 0.5, 0.4]),
        ("measured train accuracy by epoch from 0", [0.1, 0.6, 0.7]),
        ("first validation accuracy", [0.5]),
        ("last validation accuracy", [0.4]),
        ("best validation accuracy", [0.5]),
        ("best train loss", [1.0]),
        ("loss at 1 200", [0.0, 199.0]),
        ("average loss at 2 200", [0.5, 149.5]),
        ("loss at 201", None),
        ("validation loss by epoch", None),
        ("nothing", None),
    ],
)
def test_a_measure_is_found_by_its_name(name, values):
    assert look_up(name, RESULT) == values


def test_results_survive_json_with_what_json_has_not(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, {"a": [math.nan, math.inf, -math.inf, 1.5], "b": {"c": "text"}})
    json.loads(path.read_text(), parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    found = read_result(path)
    assert math.isnan(found["a"][0])
    assert found["a"][1:] == [math.inf, -math.inf, 1.5]
    assert {"numpy", "python", "tinygrad_fm"} <= set(found["versions"])
    assert "cores" in found["machine"]
    path.write_text("{")
    with pytest.raises(ValueError, match="remove it and run again"):
        read_result(path)


def test_a_variant_as_meant_is_held_against_the_reports_own_test_accuracy():
    numbers = [
        Number("test accuracy", ".1", "re-run"),
        Number("validation accuracy", ".88"),
        Number("train loss by epoch", "2 1"),
    ]
    assert list(compare._main(numbers)) == [numbers[1]]
    own = Number("test accuracy", ".87")
    assert list(compare._main([own, *numbers])) == [own]
    assert list(compare._main(numbers[:1])) == [numbers[0]]
    assert list(compare._main(numbers[2:])) == []


@pytest.fixture
def pretended(tmp_path):
    """Results of report 000's full training with three seeds, that nobody computed."""
    (report, experiment, _), *_ = reports.find("zheng/Z7")
    for shift, job in enumerate(jobs_of(report, experiment)):
        folder = job.folder(tmp_path)
        folder.mkdir(parents=True)
        measures = {"test accuracy": 0.8964 + shift / 1000, "macro F1": 0.7}
        facts = {"data": "fashion-mnist", "seed": job.seed, "seconds": 60.0, "losses": []}
        write_result(folder / "result.json", {"measures": measures, "history": [], **facts})
    return tmp_path


def test_the_table_holds_every_reported_number_that_was_measured(pretended):
    (compared,) = compare_all(reports.all_reports(), pretended)
    assert [(line.number.measure, line.verdict) for line in compared.lines] == [
        ("test accuracy", "exact"),
        ("macro F1", "below"),
    ]
    text = to_markdown(reports.all_reports(), pretended)
    row = "| zheng/Z7 | test accuracy | 0.8964 (final) | 0.8964 | 0.0010 | +0.0000 | exact |"
    assert row in text.splitlines()
    assert "3 runs of 60.0 s, seeds 427, 1, 2" in text
    assert "kong" not in text
    counted = next(row for row in text.splitlines() if row.startswith("| zheng: "))
    assert counted.endswith("| 2 | 1 | 0 | 0 | 1 | 0 |")  # numbers, exact, within, above, below
    assert "Without the slips" not in text


def test_a_variant_as_meant_stands_beside_the_one_as_printed(pretended):
    (report, experiment, _), *_ = reports.find("zheng/Z7")
    for shift, job in enumerate(jobs_of(report, experiment, variants=["as-meant"])):
        facts = {"data": "fashion-mnist", "seed": job.seed, "seconds": 60.0, "losses": []}
        job.folder(pretended).mkdir(parents=True)
        measures = {"test accuracy": 0.9074 + shift / 1000}
        write_result(
            job.folder(pretended) / "result.json", {"measures": measures, "history": [], **facts}
        )
    rows = to_markdown(reports.all_reports(), pretended).splitlines()
    assert "| zheng/Z7 | test accuracy | 0.8974 | 0.9084 | 0.0010 | +0.0110 |" in rows
    assert sum(row.startswith("| zheng/Z7 ") for row in rows) == 3


def test_what_was_run_otherwise_than_the_recipe_says_is_not_compared(run_small, tmp_path):
    run_small("kong/Q1")
    run_small("zheng/Z1")
    with pytest.raises(ValueError, match="was run as the recipes say"):
        to_markdown(reports.all_reports(), tmp_path)


def test_a_stand_in_for_a_data_set_is_named(tmp_path):
    """Report 004's KMNIST cannot be downloaded everywhere."""
    (job,) = small_jobs("kong/Q1", epochs=None, images=None, data=None)
    folder = job.folder(tmp_path)
    folder.mkdir(parents=True)
    measures = {"difference at output bias": 1e-7}
    name = "fashion-mnist instead of kmnist"
    facts = {"data": name, "seed": 42, "seconds": 1.0, "losses": [], "history": []}
    write_result(folder / "result.json", {"measures": measures, **facts})
    ((line,),) = (compared.lines for compared in compare_all(reports.all_reports(), tmp_path))
    assert line.data == name
    assert line.verdict == "other data"
    assert f"measured on {name}" in to_markdown(reports.all_reports(), tmp_path)
