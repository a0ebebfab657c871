"""`python -m bench.operating --tenants 10 100 1000`: one operator and ever more tenants, on its own local platform.

At each size, on simulated nodes: what the operator takes while nothing changes, a look at the whole cell for drift, the
time until a new tenant is ready, and the same while the database of one tenant hangs. All tenants are of the starter
plan with the default workload and come by Tenant objects. Their schedules do not run unless asked for: the Jobs of a
thousand tenants, 27 a second, are Kubernetes' work alone and more than a small machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import drift
from bench.arriving import Arrivals, Times
from bench.hanging import session_to_hold_with
from bench.operated_cell import Memory, OperatedCell, operated_cell
from bench.plotting import plot
from bench.quiet import Quiet, await_rest, measure_quiet
from tenantry.local.operating import Operator
from tenantry.tenancy.naming import incarnation_of, names

__all__ = ["Size", "main", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """tenants: that stood. filled_a_second: how fast the last of them came, many at once. alone, beside_hanging: new
    tenants, without and with one whose database hangs. cpu_seconds_a_new_one: of those that came alone, by part of the
    platform. load: of the machine, over the last minute."""

    tenants: int
    filled: int
    filled_a_second: float
    quiet: Quiet
    drift: drift.Figures
    alone: Times
    cpu_seconds_a_new_one: Mapping[str, float]
    beside_hanging: Times
    memory: Memory
    load: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.operating", description=__doc__)
    parser.add_argument("--tenants", type=int, nargs="+", default=[10, 50], help="sizes, growing")
    parser.add_argument("--new", type=int, default=20, help="new tenants that each size is measured with, twice")
    parser.add_argument("--quiet-s", type=float, default=60.0, help="seconds during which nothing changes")
    parser.add_argument(
        "--fill-minutes", type=float, default=60.0, help="for how long a size is filled; then those that stand count"
    )
    parser.add_argument("--schedules", action="store_true", help="have the tenants' schedules run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, help="draw the figures into this SVG file")
    options = parser.parse_args()
    with operated_cell("operating", schedules=options.schedules) as cell:
        sizes = []
        for one in measure(cell, options):
            sizes.append(one)
            _tell(json.dumps(asdict(one)))
    document = [asdict(one) for one in sizes]
    if options.plot:
        plot(document, options.plot)
    print(json.dumps(document, indent=2)) if options.json else show(sizes)


def measure(cell: OperatedCell, options: argparse.Namespace) -> Iterator[Size]:
    """Those tenants that come while one size is measured stay for the next."""
    arrivals = Arrivals(cell.cluster)
    try:
        for count in options.tenants:
            yield _one_size(cell, arrivals, count, options)
    finally:
        arrivals.close()


def _one_size(cell: OperatedCell, arrivals: Arrivals, count: int, options: argparse.Namespace) -> Size:
    missing = [f"fill-{count}-{number}" for number in range(count - len(cell.fleet.registry.all()))]
    _tell(f"{count} tenants: {len(missing)} more")
    began = time.monotonic()
    filled = arrivals.fill(missing, seconds=options.fill_minutes * 60)
    took = time.monotonic() - began
    standing = len(cell.fleet.registry.all())
    _tell(f"{count} tenants: nothing changes")
    quiet = measure_quiet(cell, options.quiet_s)
    _tell(f"{count} tenants: drift")
    looked = drift.look(cell.fleet, cell.cluster)
    await_rest(cell)
    new = options.new
    _tell(f"{count} tenants: {new} new ones")
    spent = cell.cpu()
    alone = arrivals.one_after_another(f"new-{count}-{number}" for number in range(new))
    later = cell.cpu()
    _tell(f"{count} tenants: {new} new ones beside one that hangs")
    beside = _beside_hanging(cell, arrivals, count, new)
    return Size(
        tenants=standing,
        filled=filled,
        filled_a_second=round(filled / took, 2),
        quiet=quiet,
        drift=looked,
        alone=alone,
        cpu_seconds_a_new_one={name: round((later[name] - spent[name]) / new, 3) for name in later},
        beside_hanging=beside,
        memory=cell.memory(),
        load=round(os.getloadavg()[0], 1),
    )


def _beside_hanging(cell: OperatedCell, arrivals: Arrivals, count: int, new: int) -> Times:
    sick = f"hanging-{count}"
    with session_to_hold_with(cell.fleet.cell) as hold:
        uid = str(arrivals.write(sick)["metadata"]["uid"])
        with hold.of(names(sick, incarnation_of(uid)).schema):
            hold.await_hanging()
            found = arrivals.one_after_another(f"beside-{count}-{number}" for number in range(new))
            if arrivals.is_ready(sick):
                raise SystemExit(f"the database of {sick} did not hang")
    arrivals.wait([sick])
    return found


def show(sizes: Sequence[Size]) -> None:
    table = Table("FIGURE", *(f"{one.tenants} TENANTS" for one in sizes), "TO REACH", box=None, header_style="bold")
    least = sizes[0].alone.p99_s
    for name, values, goal in (
        ("new tenant ready, p50 / p99, s", [f"{one.alone.p50_s} / {one.alone.p99_s}" for one in sizes], ""),
        ("  p99, times that of the first size", [f"{one.alone.p99_s / least:.2f}" for one in sizes], "≤ 2"),
        (
            "  beside one that hangs, p50 / p99, s",
            [f"{one.beside_hanging.p50_s} / {one.beside_hanging.p99_s}" for one in sizes],
            "",
        ),
        ("  p99, times that without", [f"{one.beside_hanging.p99_s / one.alone.p99_s:.2f}" for one in sizes], "≤ 1.2"),
        ("  CPU of operator and workers for one, s", [f"{_cpu(one):.2f}" for one in sizes], ""),
        ("filled by, tenants a second", [f"{one.filled_a_second}" for one in sizes], ""),
        ("writes while nothing changes, less the Lease", [f"{_writes(one.quiet)}" for one in sizes], "0"),
        ("  CPU of the operator, %", [f"{one.quiet.cpu_percent['operator']}" for one in sizes], ""),
        ("  CPU of its workers, %", [f"{one.quiet.cpu_percent['workers']}" for one in sizes], ""),
        ("  looks at tenants", [f"{one.quiet.looks}" for one in sizes], ""),
        ("memory of the operator, MiB", [f"{one.memory.operator_mib:.0f}" for one in sizes], "< 500"),
        ("memory of all its workers, MiB", [f"{one.memory.workers_mib:.0f}" for one in sizes], "< 900"),
        ("look for drift, nothing changed, s", [f"{one.drift.unchanged_s}" for one in sizes], "≤ 120"),
        ("  CPU of it, s", [f"{one.drift.unchanged_cpu_s}" for one in sizes], ""),
        ("load of the machine", [f"{one.load}" for one in sizes], ""),
    ):
        table.add_row(name, *values, goal)
    Console().print(table)


def _writes(quiet: Quiet) -> int:
    return sum(quiet.writes.values()) + quiet.told


def _cpu(size: Size) -> float:
    return sum(size.cpu_seconds_a_new_one[name] for name in (Operator.name, "workers"))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
