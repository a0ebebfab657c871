"""Takes the physical backups of the cell's database server, from which a tenant is brought to a moment, where the
operator runs on the server's own machine.

A thread of its own beside the queue: no tenant waits for it, and what goes wrong is told by log and metrics alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from secrets import SystemRandom

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.fleet import Fleet
from tenantry.recovery.physical import PhysicalBackups, physical_standing
from tenantry.tenancy.errors import Locked, TenantryError
from tenantry_operator.metrics import Metrics

__all__ = ["Copying"]

_log = logging.getLogger(__name__)
_random = SystemRandom()
_LOOK_S = 60.0
_AGAIN_S = 900.0


class Copying(Collector):
    """Also tells Prometheus how they stand, when it asks."""

    def __init__(self, fleet: Fleet, *, metrics: Metrics) -> None:
        self._fleet = fleet
        self._metrics = metrics
        self._earlier = _random.uniform(0, 0.1)
        """Part of the time between two by which each is taken before it is due, so that many cells spread."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="copying", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin none any more. One that is being taken ends with the process, and the next removes what it left."""
        self._stop.set()

    def look(self, now: datetime) -> str:
        """Take one if it is due, and let go of the old ones; what was done, "" for nothing. Raises what it stops at."""
        standing = physical_standing(self._fleet)
        if standing is None:
            return ""
        backups = PhysicalBackups(self._fleet.cell)
        backups.prune(now)
        if standing.due_at is None or now < standing.due_at - self._earlier * standing.every:
            return ""
        taken = backups.take()
        return f"tenants can be brought to any moment from {taken.taken_at:%Y-%m-%d %H:%M:%S UTC} on"

    def collect(self) -> Iterator[Metric]:
        last = GaugeMetricFamily(
            "tenantry_physical_backup_timestamp_seconds", "When the database server was last copied whole."
        )
        overdue = GaugeMetricFamily(
            "tenantry_physical_backup_overdue", "1 while the next copy of the database server is late."
        )
        standing = physical_standing(self._fleet)
        if standing is not None:
            overdue.add_metric([], float(standing.overdue(datetime.now(UTC))))
            if standing.taken:
                last.add_metric([], standing.taken[-1].timestamp())
        yield from (last, overdue)

    def _serve(self) -> None:
        wait_s = _LOOK_S * _random.uniform(0.5, 1)
        while not self._stop.wait(wait_s):
            wait_s = _LOOK_S
            try:
                done = self.look(datetime.now(UTC))
            except Locked as error:
                _log.info("the database server is not copied now: %s", error)
            except TenantryError as error:
                _log.warning("the database server could not be copied: %s", error)
                self._metrics.physical_failures.inc()
                wait_s = _AGAIN_S * _random.uniform(0.8, 1.2)
            except Exception:  # noqa: BLE001 - a fault of ours must not end the copying for good
                _log.exception("copying the database server failed")
                self._metrics.physical_failures.inc()
                wait_s = _AGAIN_S
            else:
                if done:
                    _log.info("the database server was copied: %s", done)
