"""`make bench`: Embedded against `kubectl apply --server-side` of the same manifests, on a local platform of its own.

One run measures both sides in turn, so that a slow machine slows both. Prints a table, or JSON with `--json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.kubectl import measure_kubectl, twin_of
from bench.takeover import OPERATIONS, Cost, measure_engines
from bench.throughput import Throughput, measure_throughput
from tenantry.engine import EmbeddedEngine
from tenantry.engine.choosing import EngineKind
from tenantry.engine.interface import Event, Op, ResourceFinished
from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.manifest import TenantFile, load_cell, load_tenant, parse_tenant
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec

ROOT = Path(__file__).parent.parent
GROWTH = ROOT / "tenant_templates" / "examples"


@dataclass(slots=True)
class Figures:
    """Seconds unless named otherwise; each list has one entry a repetition."""

    resources: int = 0
    provision: list[float] = field(default_factory=list)
    providers: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    unchanged_cpu_ms_a_resource: list[float] = field(default_factory=list)
    evaluate_cpu_ms_a_resource: list[float] = field(default_factory=list)
    recognised_ms: list[float] = field(default_factory=list)
    preview: list[float] = field(default_factory=list)
    kubectl_apply: list[float] = field(default_factory=list)
    kubectl_ready: list[float] = field(default_factory=list)
    kubectl_again: list[float] = field(default_factory=list)
    side_by_side: dict[str, Throughput] = field(default_factory=dict)
    kubectl_side_by_side: dict[str, float] = field(default_factory=dict)
    """Tenants a second."""
    worker_mib: float = 0.0
    engines: dict[EngineKind, dict[str, Cost]] = field(default_factory=dict)
    """Empty where there is no Pulumi CLI."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each figure")
    parser.add_argument("--side-by-side", type=int, default=24, help="tenants of each throughput run")
    parser.add_argument("--parallel", type=int, default=16, help="how many of them at once")
    parser.add_argument("--plan", default="growth", help="plan of the measured tenant")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()

    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    os.environ["TENANTRY_HOME"] = str(home)
    platform = LocalPlatform("bench")
    try:
        platform.up(lambda line: print(line, file=sys.stderr))
        os.environ.update(platform.environment())
        figures = measure(platform, options.plan, options.repeat, options.side_by_side, options.parallel)
    finally:
        platform.remove()
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(_document(figures), indent=2)) if options.json else _print(figures)


def measure(platform: LocalPlatform, plan: str, repeat: int, side_by_side: int, parallel: int) -> Figures:
    figures = Figures()
    cell = load_cell(platform.cell_file)
    template = _example_of(plan)
    with EmbeddedEngine(workers=os.cpu_count() or 1) as engine:
        fleet = Fleet(cell=cell, engine=engine, catalogue=Catalogue.load())
        fleet.prepare_cell()
        warm = [_tenant(template, f"warm-up-{number}") for number in range(2 * (os.cpu_count() or 1))]
        measure_throughput(fleet, platform, warm, parallel=len(warm))
        for turn in range(repeat):
            _one_turn(fleet, template, turn, figures)
        for name in ("starter", "growth"):
            files = [_tenant(_example_of(name), f"{name}-{index}") for index in range(side_by_side)]
            figures.side_by_side[name] = measure_throughput(fleet, platform, files, parallel=parallel)
            with ExitStack() as stack:
                specs = [
                    _resolve(fleet, _tenant(_example_of(name), f"{name}-twin-{one}")) for one in range(side_by_side)
                ]
                twins = [stack.enter_context(twin_of(fleet, spec)) for spec in specs]
                figures.kubectl_side_by_side[name] = measure_kubectl(twins, parallel=parallel)
        figures.worker_mib = max(_mib(child) for child in _workers())
    # The workers have ended, so that what is measured now is not theirs.
    try:
        figures.engines = measure_engines(fleet, lambda name: _resolve(fleet, _tenant(template, name)), repeat)
    except DependencyUnavailable as error:
        print(f"not measured beside the Pulumi CLI: {error}", file=sys.stderr)
    return figures


def _one_turn(fleet: Fleet, template: TenantFile, turn: int, figures: Figures) -> None:
    """Provision by Embedded, then the same manifests under another incarnation by kubectl."""
    file = _tenant(template, f"embedded-{turn}")
    dynamic: list[float] = []

    def note(_tenant: str, event: Event) -> None:
        if isinstance(event, ResourceFinished) and "dynamic" in event.change.type:
            dynamic.append(event.seconds)

    spec = fleet.specs.resolve_all([file])[0]
    began = time.perf_counter()
    (applied,) = fleet.up([(file, spec)], on_event=note)
    figures.provision.append(time.perf_counter() - began)
    if applied.result is None:
        raise SystemExit(f"provisioning failed: {applied.error}")
    figures.providers.append(sum(dynamic))
    figures.resources = sum(count for op, count in applied.result.counts.items() if op is not Op.DELETE)

    spec = fleet.specs.resolve_all([file])[0]
    cpu, seconds, _ = _measured(lambda: fleet.up([(file, spec)]))
    figures.unchanged.append(seconds)
    figures.unchanged_cpu_ms_a_resource.append(1000 * cpu / figures.resources)
    cpu, _, _ = _measured(lambda: fleet.manifests(spec))
    figures.evaluate_cpu_ms_a_resource.append(1000 * cpu / figures.resources)
    _, seconds, _ = _measured(lambda: fleet.preview(spec))
    figures.preview.append(seconds)
    stack, program = fleet.stack_of(spec)
    began = time.perf_counter()
    recognised = fleet.engine.up(stack, program, if_changed=True)
    figures.recognised_ms.append(1000 * (time.perf_counter() - began))
    if not recognised.recognised:
        raise SystemExit("the fingerprint did not recognise an unchanged tenant")
    _kubectl(fleet, template, turn, figures)


def _kubectl(fleet: Fleet, template: TenantFile, turn: int, figures: Figures) -> None:
    with twin_of(fleet, _resolve(fleet, _tenant(template, f"kubectl-{turn}"))) as twin:
        began = time.perf_counter()
        twin.apply()
        figures.kubectl_apply.append(time.perf_counter() - began)
        twin.wait()
        figures.kubectl_ready.append(time.perf_counter() - began)
        began = time.perf_counter()
        twin.apply_again()
        figures.kubectl_again.append(time.perf_counter() - began)


def _example_of(plan: str) -> TenantFile:
    found = [load_tenant(path) for path in sorted(GROWTH.glob("*.yaml"))]
    return next(file for file in found if file.tenant.spec.plan == plan)


def _tenant(template: TenantFile, name: str) -> TenantFile:
    old = template.tenant.metadata.name
    text = template.text.replace(f"name: {old}", f"name: {name}", 1)
    for number, host in enumerate(template.tenant.spec.hosts):
        text = text.replace(host, f"{name}-{number}.bench.example")
    return parse_tenant(text, source=name)


def _resolve(fleet: Fleet, file: TenantFile) -> TenantSpec:
    return resolve(
        file,
        catalogue=fleet.catalogue,
        cell=fleet.cell,
        incarnation=incarnation_of(str(uuid.uuid4())),
        today=datetime.now(UTC).date(),
    )


def _workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _cpu() -> float:
    """CPU seconds of this process and its workers so far."""
    total = 0.0
    for process in (psutil.Process(), *_workers()):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def _measured(work: Callable[[], object]) -> tuple[float, float, object]:
    before, began = _cpu(), time.perf_counter()
    result = work()
    return _cpu() - before, time.perf_counter() - began, result


def _mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def _document(figures: Figures) -> dict[str, Any]:
    medians: dict[str, Any] = {
        name: median(value) if isinstance(value, list) and value else value
        for name in figures.__slots__
        for value in [getattr(figures, name)]
    }
    return medians | {
        "side_by_side": {
            name: asdict(one) | {"cpu_seconds": one.cpu_seconds} for name, one in figures.side_by_side.items()
        },
        "engines": {
            kind.value: {operation: asdict(cost) for operation, cost in costs.items()}
            for kind, costs in figures.engines.items()
        },
        "provision_to_kubectl": medians["provision"] / medians["kubectl_ready"],
        "provision_less_providers_to_kubectl": (medians["provision"] - medians["providers"]) / medians["kubectl_ready"],
        "unchanged_to_kubectl": medians["unchanged"] / medians["kubectl_again"],
    }


def _print(figures: Figures) -> None:
    ratios = _document(figures)
    table = Table("FIGURE", "MEDIAN (MIN–MAX)", "TO REACH", box=None, header_style="bold")
    rows = (
        ("resources of the stack", str(figures.resources), ""),
        ("provision, until ready, s", _spread(figures.provision), ""),
        ("  of which database, OpenBao, cache, messaging, s", _spread(figures.providers), ""),
        ("kubectl apply --server-side, s", _spread(figures.kubectl_apply), ""),
        ("kubectl apply, then wait until available, s", _spread(figures.kubectl_ready), ""),
        (
            "provision less providers / kubectl until ready",
            f"{ratios['provision_less_providers_to_kubectl']:.2f}",
            "≤ 3",
        ),
        ("unchanged, full run, s", _spread(figures.unchanged), ""),
        ("unchanged, CPU ms a resource", _spread(figures.unchanged_cpu_ms_a_resource), "< 6"),
        ("  of which evaluating the program, CPU ms a resource", _spread(figures.evaluate_cpu_ms_a_resource), ""),
        ("unchanged / kubectl apply again", f"{ratios['unchanged_to_kubectl']:.2f}", ""),
        ("unchanged, recognised by fingerprint, ms", _spread(figures.recognised_ms), "< 5"),
        ("preview, nothing changed, s", _spread(figures.preview), ""),
        *_throughput_rows(figures),
        ("largest worker, MiB", f"{figures.worker_mib:.0f}", "< 200"),
        *_engine_rows(figures.engines),
    )
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _throughput_rows(figures: Figures) -> Iterator[tuple[str, str, str]]:
    for name, one in figures.side_by_side.items():
        yield (
            f"{one.tenants} tenants side by side, {name} ({one.resources} resources), a second",
            (f"{one.tenants_a_second:.2f}"),
            "≥ 3",
        )
        yield "  their Kubernetes objects alone by kubectl, a second", f"{figures.kubectl_side_by_side[name]:.2f}", ""
        costly = sorted(one.cpu_seconds_a_tenant.items(), key=lambda part: -part[1])[:5]
        yield "  CPU s a tenant", f"{one.cpu_seconds:.2f}", ""
        for part, seconds in costly:
            yield f"    of which {part}", f"{seconds:.2f}", ""
        others = one.cpu_seconds - one.cpu_seconds_a_tenant["engine"]
        yield "  a second, were Tenantry free", f"{(os.cpu_count() or 1) / others:.2f}", ""


def _engine_rows(found: dict[EngineKind, dict[str, Cost]]) -> Iterator[tuple[str, str, str]]:
    for operation in OPERATIONS if found else ():
        embedded, cli = found[EngineKind.EMBEDDED][operation], found[EngineKind.CLI][operation]
        yield f"{operation} by Embedded, s", _spread(embedded.seconds), ""
        yield f"{operation} by the Pulumi CLI, s", _spread(cli.seconds), ""
        yield "  CPU s, Embedded / the CLI", f"{embedded.cpu:.2f} / {cli.cpu:.2f}", ""
        yield "  CPU of the CLI / of Embedded", f"{cli.cpu / embedded.cpu:.1f}", "≥ 10"


if __name__ == "__main__":
    main()
