"""What Prometheus reads of the operator."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry_operator.lasting import Lasting
from tenantry_operator.lease import Lease
from tenantry_operator.objects import Tenants
from tenantry_operator.queueing import Queue

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 900)


class Metrics:
    """Counted as it happens; the rest is asked for when Prometheus asks (`watch`)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.looks = Histogram(
            "tenantry_reconcile_seconds",
            "Time that a look at a tenant took, with what was done.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.actions = Histogram(
            "tenantry_action_seconds", "Time that an action took.", ["verb"], buckets=_SECONDS, registry=self.registry
        )
        self.retries = Counter(
            "tenantry_retries", "Actions and looks that failed and are tried again.", ["reason"], registry=self.registry
        )
        self.time_to_ready = Histogram(
            "tenantry_time_to_ready_seconds",
            "From a Tenant's creation until it was first Ready.",
            buckets=_SECONDS,
            registry=self.registry,
        )

        self.drift_seconds = Histogram(
            "tenantry_drift_pass_seconds",
            "Time that a look at the whole cell for drift took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.drift_last = Gauge(
            "tenantry_drift_last_pass_timestamp_seconds",
            "When a look at the whole cell for drift last ended.",
            registry=self.registry,
        )
        self.drift_failures = Counter(
            "tenantry_drift_pass_failures", "Looks for drift that could not be ended.", registry=self.registry
        )
        self.drift_suspected = Gauge(
            "tenantry_drift_suspected", "Tenants that the last look found perhaps changed.", registry=self.registry
        )
        self.drift_found = Counter(
            "tenantry_drift_found",
            "What was found changed behind tenants' backs.",
            ["what", "kind"],
            registry=self.registry,
        )
        self.drift_mended = Counter("tenantry_drift_mended", "What was put back as recorded.", registry=self.registry)
        self.physical_failures = Counter(
            "tenantry_physical_backup_failures",
            "Copies of the database server that could not be made.",
            registry=self.registry,
        )

    def watch(self, *, tenants: Tenants, queue: Queue, lease: Lease, lasting: Lasting) -> None:
        self.registry.register(_Now(tenants, queue, lease, lasting))


class _Now(Collector):
    """What is true at the moment of asking."""

    def __init__(self, tenants: Tenants, queue: Queue, lease: Lease, lasting: Lasting) -> None:
        self._tenants = tenants
        self._queue = queue
        self._lease = lease
        self._lasting = lasting

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tenantry_queue_depth", "Tenants that are due and wait.", value=self._queue.depth())
        yield GaugeMetricFamily("tenantry_busy_slots", "Tenants that are worked on.", value=self._queue.running())
        yield GaugeMetricFamily(
            "tenantry_lease_held", "1 while this operator may act.", value=1 if self._lease.held else 0
        )
        writes = CounterMetricFamily("tenantry_api_writes", "Writes to Tenant objects and events.")
        writes.add_metric([], self._tenants.writes)
        yield writes
        valid = GaugeMetricFamily(
            "tenantry_valid_until_timestamp_seconds",
            "When a token or certificate that the cell lives on runs out.",
            labels=["what"],
        )
        for found in self._lasting.found:
            valid.add_metric([found.what], found.until.timestamp())
        yield valid
        counts: dict[tuple[str, str], int] = {}
        bodies = self._tenants.all()
        for body in bodies:
            for one in (body.get("status") or {}).get("conditions") or ():
                key = (str(one["type"]), str(one["status"]))
                counts[key] = counts.get(key, 0) + 1
        yield GaugeMetricFamily("tenantry_tenants", "Tenants of the cell.", value=len(bodies))
        conditions = GaugeMetricFamily(
            "tenantry_tenant_conditions", "Tenants by condition.", labels=["condition", "status"]
        )
        for labels, count in sorted(counts.items()):
            conditions.add_metric(list(labels), count)
        yield conditions
