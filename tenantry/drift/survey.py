"""One look at the whole cell: which tenants are perhaps not as their last run left them.

Runs no program and changes nothing. It may be wrong about a tenant that is being worked on, never the other way: who is
suspected is looked at exactly (`Fleet.drift`), under the tenant's turn, before anything is said or done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tenantry.drift.expectation import Expectation, expectation_of, stamp_of
from tenantry.drift.kubernetes import ObjectLook
from tenantry.drift.mariadb import look_at_mariadb
from tenantry.drift.openbao import look_at_openbao
from tenantry.engine import checkpoint
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import Cluster
from tenantry.engine.storage import StackFiles
from tenantry.fleet import Fleet, Record
from tenantry.fleet.programs import tenant_stack
from tenantry.openbao import openbao
from tenantry.tenancy.errors import TenantryError
from tenantry_components.providers.mariadb_server import shared_server

__all__ = ["Pass", "Survey"]

_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """suspected: why, by tenant. tenants, objects: how many were looked at. seconds: what it took."""

    suspected: Mapping[str, tuple[str, ...]]
    tenants: int
    objects: int
    seconds: float


@dataclass(slots=True)
class Survey:
    """The cell's. Keeps between passes what it has read of checkpoints, about 12 kB a tenant."""

    fleet: Fleet
    cluster: Cluster
    _known: dict[str, Expectation] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> Pass:
        """Look once. stop: ends it early. Raises DependencyUnavailable and ApiError: nothing is known then."""
        started = time.perf_counter()
        suspected: dict[str, list[str]] = {}

        def suspect(name: str, why: str) -> None:
            suspected.setdefault(name, []).append(why)

        expectations = self._expectations(stop)
        look = ObjectLook(self.cluster, recorded=lambda one: self._read(one.name), suspect=suspect, stopped=stop.is_set)
        look.run(expectations)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="drift") as threads:
            look_at_openbao(openbao(), expectations, threads=threads, suspect=suspect)
        cell = self.fleet.cell
        look_at_mariadb(shared_server(cell), expectations, host=cell.spec.database.host, suspect=suspect)
        return Pass(
            suspected={name: tuple(why) for name, why in suspected.items()},
            tenants=len(expectations),
            objects=look.seen,
            seconds=time.perf_counter() - started,
        )

    def _expectations(self, stop: threading.Event) -> list[Expectation]:
        known: dict[str, Expectation] = {}
        deleting = self.fleet.deletions.names()
        for record in self.fleet.registry.all():
            if stop.is_set():
                break
            if record.finished_at is None or record.name in deleting:
                continue
            expected = self._expectation(record)
            if expected is not None:
                known[record.name] = expected
        self._known = known
        return list(known.values())

    def _expectation(self, record: Record) -> Expectation | None:
        files = StackFiles(tenant_stack(record.name, record.incarnation, self.fleet.backend))
        stamp = stamp_of(files.checkpoint)
        if stamp is None:
            return None
        earlier = self._known.get(record.name)
        if earlier is not None and (earlier.stamp, earlier.namespace) == (stamp, record.namespace):
            return earlier
        return expectation_of(record.name, record.namespace, stamp, self._read(record.name))

    def _read(self, name: str) -> Mapping[str, Recorded]:
        record = self.fleet.registry.get(name)
        if record is None:
            return {}
        try:
            last = checkpoint.read(StackFiles(tenant_stack(name, record.incarnation, self.fleet.backend)))
        except TenantryError:
            return {}  # its own turn says so
        return last.resources if last is not None else {}
