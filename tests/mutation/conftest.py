"""Counts the mutants, and prints the counts when the tests are over."""

from collections import Counter

import pytest

COUNTS = pytest.StashKey()


@pytest.fixture
def mutation_counts(request):
    """How many mutants of each kind were caught, by (kind, "caught" or "equivalent")."""
    return request.config.stash.setdefault(COUNTS, Counter())


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(COUNTS, None)
    if not counts:
        return
    kinds = sorted({kind for kind, _ in counts})
    parts = [f"{sum(n for (k, _), n in counts.items() if k == kind)} {kind}" for kind in kinds]
    totals = Counter()
    for (_, outcome), n in counts.items():
        totals[outcome] += n
    said = ", ".join(f"{totals[o]} {o}" for o in ("caught", "equivalent", "missed") if totals[o])
    terminalreporter.write_line(f"mutants of rules: {', '.join(parts)}: {said}")
