"""`python -m bench [NAME...]`: measure, print a table, write it as JSON to the file BENCH_JSON.

Without names all measurements of the table are taken; `spin` and `flat` are studies of their own.
Every ratio is taken within one run, the two sides in turn. Exit status 1 if a request failed.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.figures import Row, document, table
from bench.footprint import footprint
from bench.lab import Lab
from bench.latency import cold_start, first_byte, slot_free, swap
from bench.library import library
from bench.load import BenchError, Load
from bench.machine import Use, facts
from bench.studies import flat, spin
from bench.throughput import throughput, token_cost, two_models
from runners import Engine, RunnerError, cache_folder, find

MEASURES: Mapping[str, Callable[[Lab], list[Row]]] = {
    "first-byte": first_byte,
    "throughput": throughput,
    "token-cost": token_cost,
    "cold-start": cold_start,
    "swap": swap,
    "two-models": two_models,
    "slot-free": slot_free,
    "footprint": footprint,
    "library": library,
}
STUDIES: Mapping[str, Callable[[Lab], str]] = {"spin": spin, "flat": flat}

_NOTEWORTHY = 0.05
"""Of the machine, used by others."""


def main() -> int:
    names = _names()
    # `kill` too must leave no process behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        engine = find(os.environ.get("PADDOCK_ENGINE", ""))
    except RunnerError as error:
        sys.exit(f"Error: {error}")
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Load() as load:
            lab = Lab(Path(folder), str(engine.server), load, _say)
            _say("models")
            lab.stock(cache_folder(os.environ) / "bench")
            return _run(lab, names, engine)
    except KeyboardInterrupt:
        return 130


def _names() -> list[str]:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = [*MEASURES, *STUDIES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names: list[str] = parser.parse_args().names
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(known)}")
    return names or list(MEASURES)


def _run(lab: Lab, names: list[str], engine: Engine) -> int:
    rows: list[Row] = []
    broken: list[str] = []
    others: dict[str, float] = {}
    began = time.monotonic()
    for name in names:
        _say(name)
        before = Use.now(lab.load.process)
        try:
            if name in STUDIES:
                print(STUDIES[name](lab))
            else:
                rows += MEASURES[name](lab)
        except BenchError as error:
            broken.append(f"{name}: {error}")
        others[name] = Use.now(lab.load.process).others(before)
        if others[name] > _NOTEWORTHY:
            _say(f"others used {others[name]:.0%} of the machine: expect odd figures")
    failures = [*broken, *lab.load.failures]
    if rows:
        print(table(rows))
    if path := os.environ.get("BENCH_JSON"):
        results = document(rows, {**facts(engine), "others": others}, failures)
        Path(path).write_text(json.dumps(results, indent=2) + "\n")
    _say(f"took {time.monotonic() - began:.0f} s")
    for failure in failures[:20]:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _say(text: str) -> None:
    """Progress is no part of the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
