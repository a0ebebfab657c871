"""A local cell of its own with its operator, as `tenantry local up` makes it, and what is read of that operator.

The operator runs as a part of the platform, under the rights of its own account.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.throughput import cpu_seconds
from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet
from tenantry.fleet.home import home
from tenantry.fleet.programs import build
from tenantry.local import LocalPlatform, Operated
from tenantry.local.cluster import ControllerManager
from tenantry.local.layout import Layout
from tenantry.local.operating import Operator
from tenantry.local.part import PartStatus
from tenantry.local.supervisor import Supervisor
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell

__all__ = ["Memory", "OperatedCell", "operated_cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MiB. What is shared with other processes counts by its share (PSS), and whole (RSS)."""

    operator_mib: float
    operator_rss_mib: float
    workers_mib: float
    workers_rss_mib: float
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatedCell:
    """parts: the platform's, its operator among them. fleet: over the operator's own records, for reading. cluster: the
    API server as its administrator."""

    parts: Mapping[str, PartStatus]
    fleet: Fleet
    cluster: Cluster
    audit_log: Path

    def metrics(self) -> Mapping[str, float]:
        """The operator's, by name; of a metric with labels the sum."""
        with urllib.request.urlopen(f"http://{self.parts[Operator.name].address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def cpu(self) -> dict[str, float]:
        """Processor seconds so far, by part of the platform; of the operator apart from its `workers`."""
        spent = {
            name: cpu_seconds(psutil.Process(one.pid), with_children=name != Operator.name)
            for name, one in self.parts.items()
            if one.pid is not None
        }
        return spent | {"workers": sum(cpu_seconds(one, with_children=True) for one in self._workers())}

    def memory(self) -> Memory:
        own, *workers = [one.memory_full_info() for one in (self._operator(), *self._workers())]
        return Memory(
            operator_mib=_mib(own.pss),
            operator_rss_mib=_mib(own.rss),
            workers_mib=_mib(sum(one.pss for one in workers)),
            workers_rss_mib=_mib(sum(one.rss for one in workers)),
            workers=len(workers),
        )

    def _operator(self) -> psutil.Process:
        return psutil.Process(self.parts[Operator.name].pid)

    def _workers(self) -> Sequence[psutil.Process]:
        return self._operator().children(recursive=True)


@contextmanager
def operated_cell(name: str, *, schedules: bool) -> Iterator[OperatedCell]:
    """The cell, and nothing of it left at the end. schedules: whether Kubernetes makes Jobs of tenants' CronJobs."""
    folder = Path(tempfile.mkdtemp(prefix=f"tenantry-{name}-"))
    folder.chmod(0o755)
    os.environ["TENANTRY_HOME"] = str(folder)
    platform = LocalPlatform(name)
    try:
        platform.up(_tell, operated=Operated(records=home(), build=build()))
        os.environ.update(platform.environment())
        with EmbeddedEngine() as engine:
            fleet = Fleet(cell=load_cell(platform.cell_file), engine=engine, catalogue=Catalogue.load())
            fleet.prepare_cell()
            os.environ.update(fleet.provisioner.environment())
            platform.operate(_tell)
            layout, parts = Layout.of(platform.name, platform.home), {one.name: one for one in platform.status()}
            with ExitStack() as left:
                if not schedules:
                    left.enter_context(_without_schedules(parts.pop(ControllerManager.name), Supervisor(layout)))
                yield OperatedCell(
                    parts=parts,
                    fleet=fleet,
                    cluster=connect({}),
                    audit_log=layout.part("kube-apiserver") / "audit" / "audit.log",
                )
    finally:
        platform.remove()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _without_schedules(controllers: PartStatus, supervisor: Supervisor) -> Iterator[None]:
    """Kubernetes' controllers as they run, less the one that makes Jobs of CronJobs."""
    command = psutil.Process(controllers.pid).cmdline()
    supervisor.stop(ControllerManager.name)
    process = subprocess.Popen(
        [*command, "--controllers=*,-cronjob-controller"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _mib(size: float) -> float:
    return round(size / 2**20, 1)
