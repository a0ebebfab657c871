"""One module of the workload as manifests: what runs it, how it is reached, how it scales. Pure.

`replicas` is in none of them: an autoscaler or the operator owns that field, and sending it would undo their work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from tenantry.tenancy.scaling import by_cpu
from tenantry.tenancy.spec import Activity, Hold, TenantSpec
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec, ScheduledTask, StorageSpec
from tenantry_components.manifest import Manifest, metadata, selector
from tenantry_components.pod import pod_template
from tenantry_components.schedule import offset_minutes, spread

__all__ = [
    "address_manifests",
    "autoscaler",
    "cron_job",
    "deployment",
    "disruption_budget",
    "ingress",
    "job",
    "module_manifests",
    "own_schedule",
    "scheduled",
    "service",
    "volume_claim",
]

_SPREAD_MINUTES = 15
_JOB_DEADLINE_S = 1800
_FINISHED_S = 86_400
_LATE_S = 120
_TRAFFIC = "tenantry.dev/traffic"
"""A label that no pod has."""
_HELD = "tenantry.dev/held"
"""On a schedule that a release under way has paused: at which step."""


def module_manifests(spec: TenantSpec, module: ModuleSpec, annotations: Mapping[str, str]) -> tuple[Manifest, ...]:
    """Everything of one module. annotations: of its pods, where they last."""
    if module.kind is ModuleKind.TASK:
        return (job(spec, module),)
    if module.kind is ModuleKind.SCHEDULED:
        return tuple(cron_job(spec, module, task) for task in module.tasks)
    manifests = [deployment(spec, module, annotations)]
    if by_cpu(spec, module):
        manifests.append(autoscaler(spec, module))
    if module.replicas_min > 1:
        manifests.append(disruption_budget(spec, module))
    return (*manifests, *address_manifests(spec, module))


def address_manifests(spec: TenantSpec, module: ModuleSpec) -> tuple[Manifest, ...]:
    """By what a module is reached. It stays while a release holds the module itself: hosts, DNS records and
    certificates do not come and go with a release."""
    manifests = []
    if module.port is not None and module.kind is ModuleKind.SERVICE:
        manifests.append(service(spec, module))
    if module.public and module.port is not None:
        manifests.append(ingress(spec, module))
    return tuple(manifests)


def deployment(spec: TenantSpec, module: ModuleSpec, annotations: Mapping[str, str]) -> Manifest:
    storage = {volume.name: volume for volume in spec.workload.storage}
    # A volume for one node cannot be on two at once: the old pod has to go before the new one comes.
    alone = any(not storage[name].shared for name in module.mounts)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(
            spec, module.name, component=module.name, annotations={"tenantry.dev/title": module.title}
        ),
        "spec": {
            "selector": {"matchLabels": selector(spec, module.name)},
            "strategy": {"type": "Recreate"}
            if alone
            else {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "template": pod_template(spec, module, command=module.command, lasting=True, annotations=annotations),
        },
    }


def autoscaler(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    """Also with an equal minimum and maximum: then it holds that number, which nobody else sends."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(spec, module.name, component=module.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": module.name},
            "minReplicas": max(1, module.replicas_min),
            "maxReplicas": module.by_hand or module.replicas_max,
            "metrics": [
                {
                    "type": "ContainerResource",
                    "containerResource": {
                        "name": "cpu",
                        # The agent beside it idles, and would pull an average over the pod down.
                        "container": module.name,
                        "target": {"type": "Utilization", "averageUtilization": module.cpu_target_percent},
                    },
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def disruption_budget(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    """One pod at a time may be drained; a module with a single replica has none, since it would block drains."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(spec, module.name, component=module.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(spec, module.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def service(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    """While a release holds back traffic, a public module's Service picks no pod: its hosts answer 503."""
    closed = module.public and spec.hold not in (Hold.NONE, Hold.PAUSED)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, module.name, component=module.name),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(spec, module.name) | ({_TRAFFIC: "held"} if closed else {}),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def ingress(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    """The tenant's hosts, by TLS alone. Certificate and DNS record come by the cluster's usual annotations."""
    kubernetes = spec.cell.spec.kubernetes
    annotations = {
        "external-dns.alpha.kubernetes.io/hostname": ",".join(spec.hosts),
        # When an address is given is the controller's affair; a run does not wait for it.
        "pulumi.com/skipAwait": "true",
    }
    if kubernetes.cluster_issuer is not None:
        annotations["cert-manager.io/cluster-issuer"] = kubernetes.cluster_issuer
    paths = module.essential_paths if spec.activity is Activity.SUSPENDED else ("/",)
    backend = {"service": {"name": module.name, "port": {"name": "http"}}}
    body: Manifest = {
        "tls": [{"hosts": list(spec.hosts), "secretName": f"{module.name}-tls"}],
        "rules": [
            {"host": host, "http": {"paths": [{"path": p, "pathType": "Prefix", "backend": backend} for p in paths]}}
            for host in spec.hosts
        ],
    }
    if kubernetes.ingress_class is not None:
        body["ingressClassName"] = kubernetes.ingress_class
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(spec, module.name, component=module.name, annotations=annotations),
        "spec": body,
    }


def cron_job(spec: TenantSpec, module: ModuleSpec, task: ScheduledTask) -> Manifest:
    return scheduled(
        spec,
        f"{module.name}-{task.name}",
        component=module.name,
        schedule=task.schedule,
        deadline_s=task.deadline_s,
        template=pod_template(spec, module, command=task.command, lasting=False, annotations={}),
    )


def scheduled(
    spec: TenantSpec, name: str, *, component: str, schedule: str, deadline_s: int, template: Manifest
) -> Manifest:
    """A CronJob that neither overlaps nor hangs: a run that is late is skipped, one that is too long is ended, one
    that failed waits for its next time instead of being tried again at once."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(
            spec,
            _short(name, 52),
            component=component,
            annotations=None if spec.hold is Hold.NONE else {_HELD: spec.hold.value},
        ),
        "spec": {
            "schedule": own_schedule(spec, schedule),
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            # Left out otherwise: a closed tenant's schedules are suspended by others.
            **({} if spec.hold is Hold.NONE else {"suspend": True}),
            "startingDeadlineSeconds": _LATE_S,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": template["metadata"]["labels"]},
                "spec": {
                    "activeDeadlineSeconds": deadline_s,
                    "backoffLimit": 0,
                    "ttlSecondsAfterFinished": _FINISHED_S,
                    "template": template,
                },
            },
        },
    }


def own_schedule(spec: TenantSpec, schedule: str) -> str:
    """The schedule at the tenant's own minutes."""
    return spread(schedule, offset_minutes(spec.names.namespace, _SPREAD_MINUTES))


def job(spec: TenantSpec, module: ModuleSpec) -> Manifest:
    """A one-shot Job. A Job cannot be changed, so its name says what it runs: release, template version, and a digest
    of its pod. What changes one of them is another Job; tasks are idempotent by the catalogue's rules. It has no
    time to live: it would vanish from the cluster while the stack's state still has it."""
    template = pod_template(spec, module, command=module.command, lasting=False, annotations={})
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{module.name}-{spec.workload.release}-v{spec.workload.template_version}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(spec, f"{_short(name, 54)}-{digest}", component=module.name),
        "spec": {"activeDeadlineSeconds": _JOB_DEADLINE_S, "backoffLimit": 2, "template": template},
    }


def volume_claim(spec: TenantSpec, volume: StorageSpec) -> Manifest:
    kubernetes = spec.cell.spec.kubernetes
    body: Manifest = {
        "accessModes": ["ReadWriteMany" if volume.shared else "ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volume.size_mib}Mi"}},
    }
    storage_class = kubernetes.shared_storage_class if volume.shared else kubernetes.storage_class
    if storage_class is not None:
        body["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(spec, volume.name, labels={"tenantry.dev/backup": str(volume.backup).lower()}),
        "spec": body,
    }


def _short(name: str, limit: int) -> str:
    """A DNS label of at most `limit` characters; what is cut off stays told apart by a digest."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(label) <= limit:
        return label
    return f"{label[: limit - 9].rstrip('-')}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
