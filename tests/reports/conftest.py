"""One BLAS thread, and experiments in their small form."""

import pytest
from small_reports import small_jobs

from tinygrad_fm.reports.jobs import run_job
from tinygrad_fm.train.threads import one_blas_thread


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
