"""Recipes in a small form: two epochs of a few of the shipped images."""

import pytest

from tinygrad_fm import reports
from tinygrad_fm.reports.jobs import jobs_of, run_job
from tinygrad_fm.train.threads import one_blas_thread

SMALL = {"epochs": 2, "images": 60, "data": "fashion-mnist-mini"}


def small_jobs(wanted="all", **changes):
    """The jobs of an experiment with their first seed, on the first fold."""
    for report, experiment, case in reports.find(wanted):
        options = {"case": case, "variants": ("as-printed", "as-meant"), **SMALL, **changes}
        for job in jobs_of(report, experiment, **options):
            if job.seed == job.recipe.seeds[0] and not job.fold:
                yield job


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """As where they are run: the threads of small products wait for one another."""
    with one_blas_thread():
        yield


@pytest.fixture
def run_small(tmp_path):
    def run(wanted, **changes):
        return [run_job(job, tmp_path) for job in small_jobs(wanted, **changes)]

    return run
