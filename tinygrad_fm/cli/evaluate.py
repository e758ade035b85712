"""`tinygrad-fm evaluate`: how good the network of a run is, class by class."""

from __future__ import annotations

import argparse
import json

from tinygrad_fm import nn, train
from tinygrad_fm.cli.build import model_input
from tinygrad_fm.cli.saved import SavedRun
from tinygrad_fm.cli.text import bold
from tinygrad_fm.train.threads import one_blas_thread


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table; returns the exit code."""
    saved = SavedRun.load(arguments.folder)
    dataset = saved.test_data(arguments.data, arguments.data_root)
    model, name = saved.model()
    images, labels = model_input(saved.settings, dataset.test_images), dataset.test_labels
    with one_blas_thread():  # as in training, whose numbers these are
        loss, accuracy = train.evaluate(model, nn.CrossEntropyLoss(), images, labels)
        scores = train.predict(model, images)
    report = train.classification_report(scores, labels, dataset.class_names)
    top = train.top_k_accuracy(scores, labels, k=min(3, len(dataset.class_names)))
    if arguments.json:
        columns = zip(report.precision, report.recall, report.f1, report.support, strict=True)
        found = {
            "data": dataset.name,
            "images": len(labels),
            "loss": loss,
            "accuracy": accuracy,
            "top_3_accuracy": top,
            "macro": report.macro,
            "classes": {
                name: {"precision": p, "recall": r, "f1": f, "examples": int(n)}
                for name, (p, r, f, n) in zip(report.class_names, columns, strict=True)
            },
            "confusion_matrix": report.matrix.tolist(),
        }
        print(json.dumps(found, indent=2))
        return 0
    print(f"{bold(name)} of {saved.path} on the {len(labels):,} test images of {dataset.name}")
    print(f"\n{report}\n")
    print(f"{bold(f'accuracy {accuracy:.2%}')}, among the first three {top:.2%}, loss {loss:.4f}")
    return 0
