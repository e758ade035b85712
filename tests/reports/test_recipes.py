"""Every recipe builds what its report describes, and runs."""

import itertools
import math

import numpy as np
import pytest
from small_reports import SMALL, small_jobs

from tinygrad_fm import reports
from tinygrad_fm.reports.jobs import estimate, run_job
from tinygrad_fm.reports.measures import look_up
from tinygrad_fm.reports.recipe import Number, Probe, Recipe
from tinygrad_fm.reports.training import build_model

RECIPES = {
    f"{report.name}/{experiment.row}/{case}": recipe
    for report, experiment, _ in reports.find("all")
    for case, recipe in experiment.cases.items()
}
TRAININGS = {name: recipe for name, recipe in RECIPES.items() if isinstance(recipe, Recipe)}
ROWS = [f"{report.name}/{experiment.row}" for report, experiment, _ in reports.find("all")]


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # some are to diverge
@pytest.mark.parametrize("row", ROWS)
def test_every_recipe_runs_for_two_epochs_on_a_few_images(row, tmp_path):
    # seven million parameters
    images = 12 if row in ("korssjoen/K2", "korssjoen/best") else SMALL["images"]
    for job in small_jobs(row, images=images):
        result = run_job(job, tmp_path)
        measured = result["measures"]
        assert result["diverged"] or len(result["history"]) == 2 or isinstance(job.recipe, Probe)
        for number in job.recipe.reported:
            values = look_up(number.measure, result)
            if " at " not in number.measure and not result["diverged"]:
                assert values is not None, f"{job.title}: nothing is called {number.measure}"
        if isinstance(job.recipe, Recipe):
            matrix = np.array(measured["confusion matrix"])
            assert matrix.trace() / matrix.sum() == pytest.approx(measured["test accuracy"])


@pytest.mark.parametrize("name", TRAININGS)
def test_a_number_is_printed_as_such(name):
    for number in TRAININGS[name].reported:
        assert number.values
        assert all(math.isfinite(value) for value in number.values)
        if "accuracy" in number.measure:
            assert all(0 <= value <= 1 for value in number.values)


def test_networks_have_the_reports_numbers_of_parameters():
    expected = {
        "dewangan/D1/": 42_310,
        "dewangan/D8-D13/25, 50": 21_435,
        "dewangan/D8-D13/50, 25": 40_785,
        "dewangan/D8-D13/50, 100": 45_360,
        "dewangan/D8-D13/100, 50": 84_060,
        "dewangan/D8-D13/53": 42_145,
        "dewangan/D8-D13/47, 47, 47": 41_887,
        "korssjoen/K1/": 1_466_122,
        "korssjoen/K2/": 7_320_394,
        "kong/Q13-Q16/128": 101_770,
        "kong/Q13-Q16/256": 203_530,
        "kong/Q13-Q16/203, 203": 202_807,
    }
    for name, count in expected.items():
        model = build_model(TRAININGS[name], 0, np.random.RandomState(0))
        assert sum(p.size for p in model.parameters()) == count, name


def test_as_meant_differs_from_as_printed_in_what_is_written_and_nothing_else():
    for recipe in TRAININGS.values():
        if recipe.meant:
            meant = recipe.variant("as-meant")
            assert {k: getattr(meant, k) for k in recipe.meant} == dict(recipe.meant)
            kept = set(vars(recipe)) - set(recipe.meant) - {"meant"}
            assert all(getattr(meant, k) is getattr(recipe, k) for k in kept)
        else:
            with pytest.raises(ValueError, match="as it is meant"):
                recipe.variant("as-meant")


def test_every_training_has_an_estimate_that_grows_with_its_epochs():
    from dataclasses import replace

    for recipe in TRAININGS.values():
        longer = replace(recipe, epochs=2 * recipe.epochs)
        assert 0 < estimate(recipe) < estimate(longer) <= 2.001 * estimate(recipe)


def test_the_random_search_draws_the_reports_own_numbers():
    cases = list(dict(_rows("zheng"))["Z4"].cases)
    assert cases[0] == "reg 0.0083, lr 0.0200"
    assert cases[9] == "reg 0.0100, lr 0.0185"
    assert cases[-1] == "reg 0.0010, lr 0.0100"


def test_the_grid_pairs_each_setting_with_its_cell():
    cases = dict(_rows("zheng"))["Z3"].cases
    assert len(cases) == 27
    assert cases["128-64, reg 0.001, lr 0.01"].reported[0].printed == ".8665"
    assert cases["128-48, reg 0.1, lr 0.0001"].reported[0].printed == ".6508"
    assert cases["64-48, reg 0.01, lr 0.001"].reported[0].printed == ".8186"


def test_numbers_keep_the_decimals_that_are_printed():
    assert Number("", "89.64 %").values == [0.8964]
    assert Number("", "89.64 %").decimals == [4]
    assert Number("", ".8800").decimals == [4]
    assert Number("", "1 2 3").decimals == [0, 0, 0]
    assert Number("", ".1 .25").values == [0.1, 0.25]
    assert Number("", ".1 .25").decimals == [1, 2]
    assert Number("", ".1 .25").same([0.14, 0.26]) == [True, False]
    assert Number("", "89.64 %").show(0.9, sign="+") == "+0.9000"
    assert Number("", "4.2e-4").show(1.25e-7) == "1.25e-07"
    assert Number("", "42310").show(42310.0) == "42310"
    assert Number("", "-4.18e-4").values == [-4.18e-4]
    assert Number("", "-4.18e-4").decimals == [6]


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="did you mean 'zheng'"):
        reports.find("zhang")
    with pytest.raises(ValueError, match="Z1, Z2"):
        reports.find("zheng/Z99")
    with pytest.raises(ValueError, match="relu, tanh"):
        reports.find("zheng/Z2/relu")
    assert reports.find("ZHENG/z2/relu, tanh")[0][2] == "relu, tanh"


def test_two_cases_never_share_a_folder(tmp_path):
    folders = [job.folder(tmp_path) for job in small_jobs()]
    for first, second in itertools.pairwise(sorted(folders)):
        assert first != second


def _rows(report):
    return ((e.row, e) for _, e, _ in reports.find(report))
