"""Every equation of the reports: right ones hold, wrong ones are falsified and corrected."""

import inspect

import numpy as np
import pytest
from dewangan import BOUND
from equation import REGISTRY, REPORTS, differ, distance, evaluate
from equations_page import MODULES, PAGE, page
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import tinygrad_fm as tg

RIGHT = [e for e in REGISTRY if e.right]
WRONG = [e for e in REGISTRY if not e.right]

# the errata of the reports that are formulas or programs (A: where those it calls right end)
ERRATA = {
    *("Z1", "Z2", "Z3", "Z5", "Z6", "Z7", "Z9"),
    *("C1", "C2", "C3", "C4", "C6", "C7", "C8"),
    *("D2", "D3"),
    *("K8", "K9", "K10", "K11"),
    *("Q1", "Q2", "Q3", "Q5", "Q7", "Q8"),
    "A",
}


def agree(form, library, case, within):
    printed, ours = evaluate(form, case), evaluate(library, case)
    apart = distance(printed, ours)
    assert apart <= within, f"{printed} and the library's {ours} differ by {apart:.2g} at {case}"


@pytest.mark.parametrize("equation", RIGHT, ids=str)
@given(data=st.data())
def test_the_library_agrees_with_a_right_equation(equation, data):
    agree(equation.printed, equation.library, data.draw(equation.given), equation.within)


@pytest.mark.parametrize("equation", WRONG, ids=str)
def test_a_wrong_equation_is_falsified(equation):
    case = equation.counterexample
    assert differ(evaluate(equation.printed, case), evaluate(equation.library, case))
    # the case is one that the library can answer: it is the equation that is wrong
    assert not isinstance(evaluate(equation.library, case), Exception)


@pytest.mark.parametrize("equation", WRONG, ids=str)
@given(data=st.data())
def test_the_library_agrees_with_the_corrected_form(equation, data):
    case = data.draw(equation.corrected_given)
    agree(equation.corrected_form, equation.corrected_library, case, equation.within)


@pytest.mark.parametrize(
    ("equation", "example"), [(e, x) for e in REGISTRY for x in e.examples], ids=str
)
def test_the_numbers_of_the_errata(equation, example):
    for form, expected in ((equation.printed, example.printed), (equation.library, example.true)):
        if expected is not None:
            found = np.array(evaluate(form, example.case)).squeeze()
            np.testing.assert_allclose(
                found, np.squeeze(expected), rtol=0, atol=example.rounded * 1.001 + 1e-15
            )


def test_a_right_equation_has_no_counterexample():
    with pytest.raises(NoSuchExample):
        _ = RIGHT[0].counterexample


def test_relu_backward_as_printed_fails_for_one_element():
    (relu,) = (e for e in WRONG if e.errata == "Z1")
    assert [a.shape for a in relu.counterexample] == [(1, 1), (1, 1)]


def test_every_erratum_with_a_formula_has_its_pair():
    assert {e.errata for e in WRONG} == ERRATA
    assert [str(e) for e in WRONG if not (e.corrected_form and e.correction and e.why)] == []


def test_every_function_of_a_report_is_an_equation_or_a_correction():
    corrections = [e.corrected_form for e in REGISTRY]
    for report, module in MODULES.items():
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__
            assert name.startswith("_") or not own or value in corrections, name
        assert {e.report for e in REGISTRY if e.printed.__module__ == module.__name__} == {report}
    assert set(MODULES) == set(REPORTS)


def test_no_number_is_given_twice():
    numbers = [(e.report, e.number) for e in REGISTRY]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("equation", REGISTRY, ids=str)
def test_what_is_held_is_public(equation):
    for name in equation.of.split(", "):
        found = tg
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)


def test_report_002_prints_differences_far_above_the_bound():
    # an output bias and two weights behind |tanh| <= 1, summed over 10 examples
    ratios = np.array([4.49e-4, 4.18e-4, 4.25e-4]) / (10 * BOUND)
    np.testing.assert_allclose(BOUND, 1.60e-6, atol=5e-9)
    assert np.all((ratios > 26) & (ratios < 28.05))


def test_report_004_prints_the_error_that_theory_gives():
    # Table 1, output bias: epsilon^2 / 6 times y (1 - y) (1 - 2 y)
    y = 0.016604
    error = 1e-2**2 / 6 * y * (1 - y) * (1 - 2 * y)
    np.testing.assert_allclose(error, 2.63101e-7, rtol=2e-6)
    np.testing.assert_allclose(error, 2.630992e-7, rtol=2e-5)  # as printed


def test_the_page_is_the_one_that_the_equations_give():
    # Hypothesis 6.120 to 6.170 all end at the same counterexamples
    message = "docs/equations.md is out of date; run python tests/oracles/equations_page.py"
    assert PAGE.read_text(encoding="utf-8") == page(), message
