"""Measure under one thread setting, in this process, which `python -m benchmarks` has started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import machine, measure, registry


def main() -> None:
    """Read what to do as JSON from the first argument; write the results to the file it names."""
    order = json.loads(sys.argv[1])
    found = machine.pin_threads(order["threads"])
    found["cases"] = []
    for name in order["only"]:
        for case in registry.load(name)(order["quick"]):
            print(f"  {case.name} ...", file=sys.stderr, flush=True)
            found["cases"].append({"benchmark": name, **measure.measure(case, order["repeats"])})
    Path(order["file"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
