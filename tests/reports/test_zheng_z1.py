"""Report 000's sanity check, trained on our autograd, gives the report's own digits."""

import pytest
from small_reports import small_jobs

from tinygrad_fm import data
from tinygrad_fm.reports.jobs import run_job
from tinygrad_fm.reports.measures import look_up


@pytest.mark.skipif(
    data.find("fashion-mnist") is None,
    reason="needs the full Fashion-MNIST (Debian: apt install dataset-fashion-mnist)",
)
def test_sanity_check_gives_the_digits_of_the_report(tmp_path):
    # 500 images, 2,000 iterations in ten "epochs", measured 11 times on all test images
    job = next(small_jobs("zheng/Z1", epochs=None, images=None, data=None))
    result = run_job(job, tmp_path)
    of_its_program = [n for n in job.recipe.reported if n.source == "code"]
    assert [len(n.values) for n in of_its_program] == [11, 11, 4]
    for number in of_its_program:
        assert all(number.same(look_up(number.measure, result))), number.measure
