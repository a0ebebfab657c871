"""`python -m bench.faults`: every fault of the suite, on a local platform of its own, as one table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import groupby
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.faults.cases import Case, Operation, all_cases
from bench.faults.cell import fault_cell
from bench.faults.running import Result, Suite


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--only", metavar="GLOB", action="append", help="cases whose name matches, as --list has them")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wanted = parser.parse_args()
    cases = [one for one in all_cases() if not wanted.only or any(fnmatch(one.name, glob) for glob in wanted.only)]
    if wanted.list:
        print("\n".join(one.name for one in cases))
        return
    with fault_cell(_tell) as cell:
        suite = Suite(cell, _tell)
        results: list[Result] = []
        try:
            results.extend(_run(suite, cases))
        except KeyboardInterrupt:
            _tell("interrupted: what follows is of the cases that have ended")
        usual = {operation.value: round(suite.usual_s(operation), 1) for operation in suite.usual}
    if wanted.json:
        print(json.dumps({"usual_s": usual, "cases": [_document(one) for one in results]}, indent=2))
    else:
        _print(results, suite)
    raise SystemExit(0 if results and all(one.survived for one in results) else 1)


def _run(suite: Suite, cases: Sequence[Case]) -> Iterable[Result]:
    for operation, some in groupby(cases, key=lambda one: one.operation):
        suite.undisturbed(operation)
        for case in some:
            if suite.is_possible(case):
                yield suite.run(case)
            else:
                _tell(f"{case.name}: left out, no file system can be mounted here")
        suite.undisturbed(operation)


def _print(results: Sequence[Result], suite: Suite) -> None:
    table = Table("CASE", "FAULT", "WHERE", "OUTCOME", "AWAY S", "RECOVERED S", "BYSTANDER S (USUAL)", box=None)
    for one in results:
        usual = suite.usual_s(one.case.operation)
        bystander = "never" if one.bystander_s is None else f"{one.bystander_s:.1f} ({usual:.1f})"
        table.add_row(
            one.case.operation,
            one.case.fault,
            one.where,
            one.outcome if one.survived else f"NOT SURVIVED ({one.outcome})",
            f"{one.away_s:.1f}",
            f"{one.recovered_s:.1f}",
            bystander,
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for one in results:
        for problem in one.problems:
            console.print(f"{one.case.name}: {problem}", markup=False, highlight=False)
    for operation in Operation:
        delays = _delays([one for one in results if one.case.operation is operation], suite)
        if delays:
            told = (
                f"{operation}: bystanders took {median(delays):.2f} times their usual {suite.usual_s(operation):.1f} s"
            )
            console.print(f"{told} (most: {max(delays):.2f}), without the time in which the fault lasted")
    survived = sum(one.survived for one in results)
    console.print(f"faults tried: {len(results)}, faults survived: {survived}")


def _delays(results: Sequence[Result], suite: Suite) -> list[float]:
    return [
        max(one.bystander_s - one.away_s, 0.0) / suite.usual_s(one.case.operation)
        for one in results
        if one.bystander_s is not None
    ]


def _document(one: Result) -> dict[str, Any]:
    return {"name": one.case.name, "survived": one.survived, **asdict(one)}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
