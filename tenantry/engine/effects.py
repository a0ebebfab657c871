"""What a change of a Kubernetes object does to a running tenant, and which fields cannot be changed in place. Pure.

Source of the immutable fields: the API server's validation, and `forceNew` of Pulumi's Kubernetes provider.
ConfigMap and Secret are changed in place here, as that provider does with enableConfigMapMutable and
enableSecretMutable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenantry.engine.interface import Effect, Op
from tenantry.engine.properties import at, plain

__all__ = ["WHOLE", "kubernetes_effect", "moves", "replaces", "worst"]

WHOLE = frozenset({"NetworkPolicy", "Role", "RoleBinding"})
"""Kinds of which every field counts: one that somebody adds opens or closes what the object guards."""
_IMMUTABLE = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.selector", "spec.template"),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "ResourceQuota": ("spec.scopes", "spec.scopeSelector"),
    "RoleBinding": ("roleRef",),
    "Service": ("spec.clusterIP",),
    "StatefulSet": ("spec.podManagementPolicy", "spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
}
_IDENTITY = ("metadata.name", "metadata.namespace")
_KEEPS_DATA = frozenset({"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"})
_RUNS_PODS = frozenset({"DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"})
_HARMLESS_WITHOUT = frozenset(
    {
        "ConfigMap",
        "CronJob",
        "HorizontalPodAutoscaler",
        "Job",
        "LimitRange",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "ResourceQuota",
        "Secret",
        "ServiceMonitor",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)
"""Nothing that serves users stops when one of these goes."""
_SEVERITY = tuple(Effect)


def worst(effects: Iterable[Effect]) -> Effect:
    return max(effects, key=_SEVERITY.index, default=Effect.NONE)


def replaces(kind: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the changed paths that can only be changed by deleting the object first."""
    fixed = (*_IDENTITY, *_IMMUTABLE.get(kind, ()))
    return tuple(
        path
        for path in paths
        if any(path == one or path.startswith((f"{one}.", f"{one}[")) or one.startswith(f"{path}.") for one in fixed)
    )


def moves(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the changed paths that say where the object stands."""
    return tuple(path for path in paths if path in _IDENTITY)


def kubernetes_effect(op: Op, inputs: Mapping[str, Any], paths: Iterable[str] = ()) -> Effect:
    """inputs: the wanted ones; for a delete the recorded ones."""
    kind = str(inputs.get("kind"))
    if op in (Op.SAME, Op.CREATE, Op.READ):
        return Effect.NONE
    if op is Op.UPDATE:
        changed = tuple(paths)
        if kind in _RUNS_PODS:
            if any(path.startswith("spec.replicas") for path in changed) and at(inputs, "spec.replicas") == 0:
                return Effect.DOWNTIME
            if any(path == "spec" or path.startswith("spec.template") for path in changed):
                return Effect.RESTART
        if kind == "Ingress" and any(path.startswith("spec") for path in changed) and not _serves(inputs):
            return Effect.DOWNTIME
        return Effect.IN_PLACE if changed else Effect.NONE
    if kind in _KEEPS_DATA or (kind == "StatefulSet" and at(inputs, "spec.volumeClaimTemplates")):
        return Effect.DATA_LOSS
    if op is Op.REPLACE and kind == "Job":
        return Effect.RESTART
    return Effect.IN_PLACE if kind in _HARMLESS_WITHOUT else Effect.DOWNTIME


def _serves(ingress: Mapping[str, Any]) -> bool:
    spec = plain(ingress.get("spec")) or {}
    return bool(spec.get("rules") or spec.get("defaultBackend"))
