"""What Prometheus reads of backups: for each tenant, when its last one was taken and when one last came back."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.fleet import Fleet
from tenantry.recovery.backing_up import backups_of
from tenantry.tenancy.errors import TenantryError
from tenantry_operator.objects import Tenants

__all__ = ["BackupTimes"]


class BackupTimes(Collector):
    """Asked when Prometheus asks; from the journals, never from the store."""

    def __init__(self, fleet: Fleet, tenants: Tenants) -> None:
        self._fleet = fleet
        self._tenants = tenants

    def collect(self) -> Iterator[Metric]:
        taken = GaugeMetricFamily(
            "tenantry_backup_timestamp_seconds", "When the tenant's last backup was taken.", labels=["tenant"]
        )
        size = GaugeMetricFamily("tenantry_backup_size_bytes", "What it takes in the store.", labels=["tenant"])
        proven = GaugeMetricFamily(
            "tenantry_backup_proven_timestamp_seconds",
            "When a backup of the tenant last came back whole.",
            labels=["tenant"],
        )
        failed = GaugeMetricFamily(
            "tenantry_backup_unproven", "1 while the last backup that was tried did not come back.", labels=["tenant"]
        )
        for body in self._tenants.all():
            name, namespace = str(body["metadata"]["name"]), str((body.get("status") or {}).get("namespace") or "")
            if not namespace:
                continue
            try:
                backups = backups_of(self._fleet.operations(namespace))
            except TenantryError:
                continue  # the tenant's own status says so
            if backups.last is not None:
                taken.add_metric([name], backups.last.taken_at.timestamp())
                size.add_metric([name], backups.last.size)
            if backups.proven is not None:
                proven.add_metric([name], backups.proven.at.timestamp())
            if backups.proof is not None:
                failed.add_metric([name], 1.0 if backups.proof.problem else 0.0)
        yield from (taken, size, proven, failed)
