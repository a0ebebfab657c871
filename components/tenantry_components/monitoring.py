"""What watches a tenant: what is scraped, which alerts there are, and a dashboard of its own.

By the cell's flavour: objects of the Prometheus operator, or annotations on pods and a labelled ConfigMap of rules.
Grafana's sidecar takes the dashboard from its ConfigMap in either case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import pulumi

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import AlertRule, ModuleSpec
from tenantry_components.manifest import Manifest, metadata, register, selector

__all__ = ["Monitoring", "alert_rules", "monitoring_manifests", "scrape_annotations"]


class Monitoring(pulumi.ComponentResource):
    """spec: the tenant. after: the namespace. Outputs: `alerts`, names of the rules."""

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Monitoring", name, None, opts)
        for manifest in monitoring_manifests(spec):
            register(manifest, parent=self, after=after)
        self.alerts = pulumi.Output.from_input([rule.name for rule in alert_rules(spec)])
        self.register_outputs({"alerts": self.alerts})


def monitoring_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    manifests = [_dashboard(spec)]
    if spec.cell.spec.monitoring.flavour == "operator":
        manifests.append(
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": metadata(spec, "tenant"),
                "spec": _rules(spec),
            }
        )
        manifests += [_pod_monitor(spec, module) for module in _scraped(spec)]
    else:
        # JSON is YAML too, and has one spelling only.
        rules = json.dumps(_rules(spec), indent=1, sort_keys=True)
        manifests.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata(spec, "alert-rules", labels={"tenantry.dev/prometheus": "rules"}),
                "data": {f"{spec.names.namespace}.yaml": rules},
            }
        )
    return tuple(manifests)


def scrape_annotations(spec: TenantSpec, module: ModuleSpec) -> dict[str, str]:
    """Annotations of a module's pods; none where it has no metrics or the operator's objects say the same."""
    if spec.cell.spec.monitoring.flavour == "operator" or module not in _scraped(spec):
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(module.port),
        "prometheus.io/path": str(module.metrics_path),
    }


def alert_rules(spec: TenantSpec) -> tuple[AlertRule, ...]:
    """The catalogue's rules for the workload, and what holds for every tenant."""
    namespace = spec.names.namespace
    here = f'namespace="{namespace}"'
    common = [
        AlertRule(
            name="TenantPodRestarting",
            expression=f"sum by (pod) (increase(kube_pod_container_status_restarts_total{{{here}}}[30m])) > 3",
            for_s=600,
            severity="warning",
            summary=f"A pod of {spec.name} restarts again and again",
        ),
        AlertRule(
            name="TenantJobFailed",
            expression=f"sum by (job_name) (kube_job_status_failed{{{here}}}) > 0",
            for_s=900,
            severity="warning",
            summary=f"A job of {spec.name} failed and has not succeeded since",
        ),
        AlertRule(
            name="TenantQuotaNearlyFull",
            expression=(
                f'kube_resourcequota{{{here},type="used"}} / ignoring(type) '
                f'(kube_resourcequota{{{here},type="hard"}} > 0) > 0.95'
            ),
            for_s=900,
            severity="warning",
            summary=f"{spec.name} uses nearly all of what its plan gives it",
        ),
        AlertRule(
            name="TenantVolumeNearlyFull",
            expression=(
                f"kubelet_volume_stats_available_bytes{{{here}}} / kubelet_volume_stats_capacity_bytes{{{here}}} < 0.1"
            ),
            for_s=900,
            severity="critical",
            summary=f"A volume of {spec.name} is nearly full",
        ),
    ]
    if spec.backup.enabled:
        common.append(
            AlertRule(
                name="TenantBackupMissing",
                expression=(
                    f'time() - kube_cronjob_status_last_successful_time{{{here},cronjob="backup"}} > 36 * 3600'
                ),
                for_s=600,
                severity="critical",
                summary=f"{spec.name} has no good backup of the last 36 hours",
            )
        )
        common.append(
            AlertRule(
                name="TenantBackupUnproven",
                # What the operator measures: none came back whole for two weeks, though one is tried each week.
                expression=f'time() - tenantry_backup_proven_timestamp_seconds{{tenant="{spec.name}"}} > 15 * 86400',
                for_s=3600,
                severity="critical",
                summary=f"No backup of {spec.name} was proven by a restore in the last 15 days",
            )
        )
    return (*spec.workload.alerts, *common)


def _rules(spec: TenantSpec) -> Manifest:
    return {
        "groups": [
            {
                "name": spec.names.namespace,
                "rules": [
                    {
                        "alert": rule.name,
                        "expr": rule.expression,
                        "for": f"{rule.for_s}s",
                        "labels": {
                            "severity": rule.severity,
                            "tenant": spec.name,
                            "plan": spec.plan,
                            "environment": spec.environment.value,
                        },
                        "annotations": {"summary": rule.summary},
                    }
                    for rule in alert_rules(spec)
                ],
            }
        ]
    }


def _pod_monitor(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(spec, module.name, component=module.name),
        "spec": {
            "selector": {"matchLabels": selector(spec, module.name)},
            "podMetricsEndpoints": [{"port": "http", "path": module.metrics_path, "interval": "30s"}],
        },
    }


def _scraped(spec: TenantSpec) -> list[ModuleSpec]:
    return [m for m in spec.workload.modules if m.metrics_path is not None and m.port is not None]


def _dashboard(spec: TenantSpec) -> Manifest:
    fill = {
        "$TENANT_UID": spec.names.namespace[:40],
        "$TENANT_NAMESPACE": spec.names.namespace,
        "$TENANT_NAME": spec.name,
        "$TENANT_PLAN": spec.plan,
    }
    text = _dashboard_text()
    for placeholder, value in fill.items():
        text = text.replace(placeholder, value)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(spec, "dashboard", labels={"grafana_dashboard": "1"}),
        "data": {f"{spec.names.namespace}.json": text},
    }


@cache
def _dashboard_text() -> str:
    """One file for all tenants. Names have no character that JSON escapes, so that text may be put in as it is."""
    return (Catalogue.root() / "monitoring" / "dashboard.json").read_text(encoding="utf-8")
