"""Run benchmarks under one thread setting, in this process, which the command has started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import machine, registry


def main() -> None:
    """Read what to do as JSON from the first argument; write the results to the file it names."""
    order = json.loads(sys.argv[1])
    machine.pin_cores(order["threads"])
    runs = []
    for name in order["benchmarks"]:
        load, cases = machine.load(), []
        for case in registry.load(name)(order["quick"]):
            print(f"  {case.name} ...", file=sys.stderr, flush=True)
            cases.append(case.measure(order["repeats"]))
        facts = machine.threads(order["threads"])
        runs.append({"benchmark": name, **facts, "load": load, "cases": cases})
    Path(order["file"]).write_text(json.dumps(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
