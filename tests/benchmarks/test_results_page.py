"""The page of results: every benchmark runs, and the page is made from its numbers alone."""

import copy
import json

import pytest

from benchmarks import goals, page, registry, table
from tests.benchmarks.test_runner import run


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The path of a page that one quick run of all benchmarks has written."""
    path = tmp_path_factory.mktemp("results") / "results.md"
    options = ("--quick", "--threads", "1", "--repeats", "1", "--results", str(path))
    done = run("-m", "benchmarks", *options)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def numbers(everything):
    return json.loads(everything.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture
def copied(everything, tmp_path):
    """The page's numbers somewhere else, where a test may change them."""
    path = tmp_path / "results.md"
    path.with_suffix(".json").write_bytes(everything.with_suffix(".json").read_bytes())
    return path


def test_every_benchmark_runs_and_is_on_the_page(everything, numbers):
    assert [r["benchmark"] for r in numbers["runs"]] == list(registry.BENCHMARKS)
    text = everything.read_text(encoding="utf-8")
    for found in numbers["runs"]:
        assert f"### {found['benchmark']}" in text
        for case in found["cases"]:
            assert case["contenders"][0]["name"] == "tinygrad_fm"
            assert case["case"] in text


def test_contenders_are_skipped_only_for_what_is_missing(numbers):
    for found in numbers["runs"]:
        for case in found["cases"]:
            for name, why in case["skipped"].items():
                missing = ("No module named", "Numba is not installed")
                assert any(words in why for words in missing), (name, why)


def test_the_page_says_that_quick_numbers_mean_nothing(everything):
    assert "the numbers mean nothing" in everything.read_text(encoding="utf-8")


def test_the_page_is_written_from_the_numbers(everything, copied):
    page.write(copied)
    assert copied.read_text(encoding="utf-8") == everything.read_text(encoding="utf-8")


def test_samples_are_not_kept_beside_the_page(everything):
    assert "samples" not in everything.with_suffix(".json").read_text(encoding="utf-8")


def test_a_later_run_replaces_its_own_numbers_and_no_others(copied, numbers):
    later = copy.deepcopy(next(r for r in numbers["runs"] if r["benchmark"] == "chain"))
    later["commit"] = "later"
    page.merge(copied, {**numbers, "runs": [later]})
    merged = json.loads(copied.with_suffix(".json").read_text(encoding="utf-8"))["runs"]
    assert [r["benchmark"] for r in merged] == [r["benchmark"] for r in numbers["runs"]]
    assert [r["benchmark"] for r in merged if r["commit"] == "later"] == ["chain"]


@pytest.mark.parametrize(
    "change", [{"setting": "2", "threads": 2}, {"numba": None}, {"blas": "another 1.0"}]
)
def test_a_run_of_another_setting_is_added(copied, numbers, change):
    first = numbers["runs"][0]
    if "numba" in change:
        change = {"numba": not first["numba"]}
    page.merge(copied, {**numbers, "runs": [{**first, **change}]})
    text = copied.read_text(encoding="utf-8")
    for setting in (table.setting(first), table.setting({**first, **change})):
        assert f"\n## With {setting}\n" in text


def test_the_matrix_library_is_named_where_it_is_not_the_usual_one():
    told = {"setting": "1", "numba": True}
    assert table.setting({**told, "blas": "scipy-openblas 0.3"}) == "--threads 1"
    assert table.setting({**told, "blas": "mkl 2026.2"}) == "--threads 1, NumPy on MKL"
    assert table.setting({**told, "blas": "new 1.0"}) == "--threads 1, NumPy on new"


@pytest.mark.parametrize("key", ["machine", "quick"])
def test_numbers_of_another_kind_are_refused(copied, numbers, key):
    with pytest.raises(ValueError, match=f"taken with {key} .* delete that file"):
        page.check(copied, {**numbers, key: "another"})


def test_a_page_in_a_missing_folder_is_refused_before_anything_is_measured(tmp_path):
    path = tmp_path / "nowhere" / "results.md"
    done = run("-m", "benchmarks", "--only", "chain", "--results", str(path))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


def _case(name, **ratios):
    """A case in which our compiled step takes so many times as long as each peer."""
    contenders = [
        {
            "name": peer,
            "value": {"median": 1 / ratio},
            "ratios": {"tinygrad_fm, compiled": {"median": ratio}},
        }
        for peer, ratio in ratios.items()
    ]
    return {"case": name, "unit": "s", "series": None, "contenders": contenders, "skipped": {}}


def _judge(goal, monkeypatch, *cases):
    monkeypatch.setattr(goals, "GOALS", [goal])
    _, (_, _, found) = goals.judge(
        [{"benchmark": "b", "setting": "1", "numba": True, "blas": "openblas", "cases": cases}]
    )
    return found


def test_a_goal_counts_the_fastest_peer_of_the_worst_case(monkeypatch):
    goal = goals.Goal("aim", "b", 1.05, "peer")
    cases = _case("one", peer1=0.5, peer2=1.5, other=9.0), _case("two", peer1=1.1)
    assert _judge(goal, monkeypatch, *cases) == "1.50x, **not met** (one)"


def test_a_goal_may_mean_the_median_of_the_cases(monkeypatch):
    goal = goals.Goal("aim", "b", 1.05, "peer", middle=True)
    cases = [_case(str(i), peer=ratio) for i, ratio in enumerate((0.5, 1.0, 4.0))]
    assert _judge(goal, monkeypatch, *cases) == "1.00x, met (median of 3)"


def test_a_goal_without_numbers_is_not_measured(monkeypatch):
    goal = goals.Goal("aim", "b", 1.05, "peer", case="three")
    assert _judge(goal, monkeypatch, _case("one", peer=1.0)) == "not measured"


def test_a_goal_for_numba_says_nothing_of_runs_without(monkeypatch):
    goal = goals.Goal("aim", "b", 1.05, "peer", numba=False)
    assert _judge(goal, monkeypatch, _case("one", peer=1.0)) == "-"


def test_slopes_are_those_of_the_logarithms():
    points = []
    for size in (10, 100, 1000):
        point = _case("grows", peer=1.0)
        point["contenders"][0]["value"] = {"median": 1e-6 * size**1.5}
        points.append({**point, "series": ["width", size]})
    _, row = table.growth(points)
    assert row == ("width: peer", "10 - 1,000", "1.50", "1.50", "31.62 us", "31.62 ms")
