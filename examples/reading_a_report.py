"""A table of a published report, read beside what its recipe gives on the shipped images."""

from pathlib import Path

from tinygrad_fm import reports
from tinygrad_fm.reports.jobs import jobs_of, run_job
from tinygrad_fm.reports.measures import look_up

# Table 1 of report 001: the accuracy of a network by the size of its hidden layer
((report, table, _),) = reports.find("cheng/C5")
print(f"report {report.number}, {table.title}. {table.note}\n")

# a recipe is data: what it says can be looked at before anything runs
recipe = table.cases["100"]
print(f"{recipe.epochs} epochs in batches of {recipe.batch_size}, {recipe.optimizer}")
print(f"as meant instead: {', '.join(recipe.meant)}\n")

# the whole of it would take minutes (`tinygrad-fm report run cheng/C5`): here two epochs of 1,000
print("size  reported  as printed  as meant")
small = {"epochs": 2, "images": 1000, "data": "fashion-mnist-mini"}
for size in ("50", "100", "200"):
    (number,) = table.cases[size].reported
    measured = []
    for variant in ("as-printed", "as-meant"):
        job = next(jobs_of(report, table, case=size, variants=[variant], **small))
        (value,) = look_up(number.measure, run_job(job, Path("runs")))
        measured.append(value)
    print(f"{size:>4}  {number.values[0]:8.2%}  {measured[0]:10.2%}  {measured[1]:8.2%}")

# as printed, the accuracy is measured on images that were trained on: the report's own slip
