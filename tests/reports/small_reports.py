"""Recipes in a small form: two epochs of a few of the shipped images."""

from tinygrad_fm import reports
from tinygrad_fm.reports.jobs import jobs_of

SMALL = {"epochs": 2, "images": 60, "data": "fashion-mnist-mini"}


def small_jobs(wanted="all", **changes):
    """The jobs of an experiment with their first seed, on the first fold."""
    for report, experiment, case in reports.find(wanted):
        options = {"case": case, "variants": ("as-printed", "as-meant"), **SMALL, **changes}
        for job in jobs_of(report, experiment, **options):
            if job.seed == job.recipe.seeds[0] and not job.fold:
                yield job
