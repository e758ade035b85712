"""Networks as plain functions: their shapes are found, right ones pass, slips are found."""

import re

import numpy as np
import pytest
from plain import Plain, drawn

from tinygrad_fm.testing import CannotRunError, check_file

STYLES = [
    Plain(),
    Plain(bias="none"),
    Plain(lower=True, cache="dict"),
    Plain(product="w @ x", bias="kept", form="loss beside"),
    Plain(form="together", labels="numbers"),
    Plain(holder="keys", gives_dx=True),
    Plain(holder="pairs", layers=4),
]


def checked(folder, text):
    (folder / "net.py").write_text(text)
    (report,) = check_file(folder / "net.py")
    return report


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_a_plain_network_is_right(style, tmp_path):
    report = checked(tmp_path, style.text())
    assert report.verdict == "right"
    parameters = [c for c in report.comparisons if c.parameter not in ("X", "x")]
    assert len(parameters) == style.layers * (1 if style.bias == "none" else 2)


def test_every_way_to_write_a_network_is_right(tmp_path):
    rng = np.random.default_rng(0)
    for style in [drawn(rng) for _ in range(80)]:
        report = checked(tmp_path, style.text())
        assert report.verdict == "right", f"{style}: {report}"


SLIPS = [
    (r" \* \(1 - A1 \*\* 2\)", "", "missing"),
    (r"np\.sum\(dZ1", "np.mean(dZ1", "batch size"),
    (r"d[Ww]1 = ", r"\g<0>-", "the sign"),
    (r"\(1 - A1 \*\* 2\)", "(1 - A1)", "dZ1 = "),
]


@pytest.mark.parametrize("style", STYLES[2:], ids=str)
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip[1])
def test_a_slip_in_a_plain_network_is_found_and_named(style, slip, tmp_path):
    old, new, said = slip
    text, times = re.subn(old, new, style.text())
    assert times == 1
    report = checked(tmp_path, text)
    assert report.verdict == "wrong"
    assert said in str(report)


def test_a_first_layer_need_not_give_the_gradient_by_its_input(tmp_path):
    report = checked(tmp_path, Plain().text())
    assert "backward gives no gradient by X: a first layer needs none" in report.notes
    wrong = Plain(gives_dx=True).text().replace("dX = dZ1", "dX = 2 * dZ1")
    assert checked(tmp_path, wrong).verdict == "wrong"


def test_what_cannot_fit_in_any_shape_is_shown_as_their_own_error(tmp_path):
    text = Plain(product="w @ x").text().replace("W2.T @", "W2 @")
    with pytest.raises(CannotRunError, match=r"the backward pass fails: ValueError.*net\.py:\d+"):
        checked(tmp_path, text)
