"""`python -m bench.drift --tenants 1000`: a look at a whole cell for drift, on a local platform of its own.

The tenants are provisioned for real first, which takes longest. Then the first look (which reads every checkpoint), one
with nothing changed since, and one that has to find a change in every hundredth tenant.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from rich.console import Console

from bench.arriving import TENANT
from tenantry.drift import Survey
from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell, parse_tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds, and processor seconds of this process, which what else the machine does hardly changes. found: of how
    many tenants that were changed. memory_mib: the most that this process had."""

    tenants: int
    objects: int
    first_s: float
    unchanged_s: float
    changed_s: float
    first_cpu_s: float
    unchanged_cpu_s: float
    found: int
    changed: int
    memory_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenantry-drift-") as home:
        Path(home).chmod(0o755)
        os.environ["TENANTRY_HOME"] = home
        platform = LocalPlatform("drift")
        try:
            platform.up(lambda _line: None)
            os.environ.update(platform.environment())
            figures = measure(wanted.tenants, platform)
        finally:
            platform.remove()
    if wanted.json:
        print(json.dumps(asdict(figures)))
    else:
        Console().print(figures)


def measure(count: int, platform: LocalPlatform) -> Figures:
    with EmbeddedEngine(workers=os.cpu_count() or 1) as engine:
        fleet = Fleet(cell=load_cell(platform.cell_file), engine=engine, catalogue=Catalogue.load())
        fleet.prepare_cell()
        os.environ.update(fleet.provisioner.environment())
        files = [parse_tenant(TENANT.format(name=f"d{number:04d}"), source="bench") for number in range(count)]
        specs = fleet.specs.resolve_all(files)
        applied = fleet.up(list(zip(files, specs, strict=True)), parallel=16)
        failed = [one.error for one in applied if one.error is not None]
        if failed:
            raise failed[0]
        return look(fleet, connect({}))


def look(fleet: Fleet, cluster: Cluster) -> Figures:
    """Look at the tenants that stand, three times."""
    survey = Survey(fleet, connect({}))
    spent = [time.process_time()]
    first = survey.run(Event())
    spent.append(time.process_time())
    unchanged = survey.run(Event())
    spent.append(time.process_time())
    changed = [one for one in fleet.registry.all() if one.name not in unchanged.suspected][::100]
    for one in changed:
        _spoil(cluster, one.namespace)
    third = survey.run(Event())
    return Figures(
        tenants=first.tenants,
        objects=first.objects,
        first_s=round(first.seconds, 2),
        unchanged_s=round(unchanged.seconds, 2),
        changed_s=round(third.seconds, 2),
        first_cpu_s=round(spent[1] - spent[0], 2),
        unchanged_cpu_s=round(spent[2] - spent[1], 2),
        found=len(third.suspected.keys() - unchanged.suspected.keys()),
        changed=len(changed),
        memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


def _spoil(cluster: Cluster, namespace: str) -> None:
    """Delete one network policy of the tenant."""
    folder = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    name = cluster.request("GET", folder)["items"][0]["metadata"]["name"]
    cluster.request("DELETE", f"{folder}/{name}")


if __name__ == "__main__":
    main()
