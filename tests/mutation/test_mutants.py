"""Every rule is mutated, and each mutant makes a property fail: what the rules' tests are worth.

For each rule and each function that a rule calls: a sign flipped, a factor dropped, arguments
swapped. Un-broadcasting is the engine's, and is mutated there, once.
"""

import importlib.util

import pytest
from battery import FUNCTIONS, is_caught
from mutants import mutants_of, name_of

# Mutants that compute the same, each with the reason why no test can tell them apart.
EQUIVALENT = {
    "linalg._length: factor.shape[name.index(letter)] if letter in name else 0 -> "
    "-(factor.shape[name.index(letter)] if letter in name else 0)": (
        "a length that no axis has makes one more factor of ones, and the same sum"
    ),
    "indexing._may_repeat: any((getattr(part, 'dtype', np.bool_) != np.bool_ and part.ndim "
    "for part in arrays)) -> -any((getattr(part, 'dtype', np.bool_) != np.bool_ and part.ndim "
    "for part in arrays))": "minus True is as true as True",
    "special.lambda g, _y, v, x: -g / 2 * (_kv(v - 1, x) + _kv(v + 1, x)): v - 1 -> 1 - v": (
        "K of order -n is K of order n"
    ),
    "special.lambda g, y, v, x: g * (y - (_kve(v - 1, x) + _kve(v + 1, x)) / 2): v - 1 -> 1 - v": (
        "likewise"
    ),
    "special.lambda x, number: number + np.zeros_like(x): number + np.zeros_like(x) -> "
    "number - np.zeros_like(x)": "0 taken away is 0 added",
    "linear._rows: x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1])) -> "
    "-(x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1])))": (
        "both factors of the product that it is used in change sign"
    ),
}
ORDER = sorted(
    FUNCTIONS, key=lambda function: (name_of(function), function.__code__.co_firstlineno)
)


@pytest.mark.parametrize("function", ORDER, ids=name_of)
def test_every_mutant_is_caught(function, mutation_counts):
    survivors = set()
    for mutant in mutants_of(function):
        with mutant.installed():
            caught = is_caught(FUNCTIONS[function])
        known = mutant.name in EQUIVALENT
        mutation_counts[
            mutant.kind, "caught" if caught else "equivalent" if known else "missed"
        ] += 1
        if not caught:
            survivors.add(mutant.name)
    assert survivors <= set(EQUIVALENT), "no property fails for these"


def test_equivalent_mutants_still_exist():
    names = {mutant.name for function in FUNCTIONS for mutant in mutants_of(function)}
    scipy = importlib.util.find_spec("scipy") is not None  # without it its rules are not there
    assert {name for name in EQUIVALENT if scipy or not name.startswith("special.")} <= names


def test_nothing_is_caught_where_nothing_is_mutated():
    cases = list({id(c): c for cases in FUNCTIONS.values() for c in cases}.values())
    assert not is_caught(cases)
