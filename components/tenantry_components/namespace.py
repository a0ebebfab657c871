"""The tenant's namespace: its fence on the Kubernetes API (Pod Security, quota, limits, identities, readers)."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry_components.agent import ca_manifests
from tenantry_components.manifest import Manifest, metadata, object_labels, register

__all__ = [
    "BACKUP_ACCOUNT",
    "CACHE_ACCOUNT",
    "DATABASE_ACCOUNT",
    "WORKLOAD_ACCOUNT",
    "Namespace",
    "namespace_manifests",
]

WORKLOAD_ACCOUNT = "workload"
BACKUP_ACCOUNT = "backup"
DATABASE_ACCOUNT = "database"
CACHE_ACCOUNT = "cache"

_POD_SECURITY_VERSION = "v1.34"
"""Pinned, so that a cluster's upgrade never changes what is admitted; an older cluster reads it as `latest`."""


class Namespace(pulumi.ComponentResource):
    """spec: the tenant. Outputs: `name`, the namespace. `ready`: what others must come after."""

    def __init__(self, name: str, spec: TenantSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:tenant:Namespace", name, None, opts)
        first, *others = namespace_manifests(spec)
        namespace = register(first, parent=self)
        self.ready: Sequence[pulumi.Resource] = (
            namespace,
            *(register(manifest, parent=self, after=(namespace,)) for manifest in others),
            # Mounted by every pod, those of the tenant's own servers included, which the workload comes after.
            *(
                register(manifest, parent=self, after=(namespace,), options=pulumi.ResourceOptions(aliases=[_before()]))
                for manifest in ca_manifests(spec)
            ),
        )
        self.name = pulumi.Output.from_input(spec.names.namespace)
        self.register_outputs({"name": self.name})


def _before() -> str:
    """What stacks call the authority that were made when it still stood with the workload."""
    where = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}"
    return f"{where}::tenantry:tenant:TenantStack$tenantry:tenant:Workload$kubernetes:core/v1:ConfigMap::cell-ca"


def namespace_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """The Namespace itself first, then what stands in it."""
    # The backup's also where none are scheduled: a release keeps the database aside as that account.
    accounts = [WORKLOAD_ACCOUNT, BACKUP_ACCOUNT]
    if spec.database.tier is DatabaseTier.DEDICATED:
        accounts.append(DATABASE_ACCOUNT)
    if spec.cache.dedicated:
        accounts.append(CACHE_ACCOUNT)
    return (
        _namespace(spec),
        _quota(spec),
        _limits(spec),
        *(_service_account(spec, account) for account in accounts),
        *_viewers(spec),
    )


def _namespace(spec: TenantSpec) -> Manifest:
    cell = spec.cell.spec
    security = {
        label: value
        for mode in ("enforce", "audit", "warn")
        for label, value in (
            (f"pod-security.kubernetes.io/{mode}", "restricted"),
            (f"pod-security.kubernetes.io/{mode}-version", _POD_SECURITY_VERSION),
        )
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": spec.names.namespace,
            "labels": object_labels(spec) | security,
            "annotations": {
                "tenantry.dev/display-name": spec.display_name,
                "tenantry.dev/owner": spec.owner,
                # What the policies judge by.
                "tenantry.dev/residency": spec.residency,
                "tenantry.dev/kept-in": ",".join(cell.residency),
                "tenantry.dev/region": cell.region,
                "tenantry.dev/image-sources": ",".join(cell.images.allowed_sources),
            },
        },
    }


def _quota(spec: TenantSpec) -> Manifest:
    quota = spec.quota
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(spec, "tenant"),
        "spec": {
            "hard": {
                "requests.cpu": f"{quota.cpu_request_m}m",
                "limits.cpu": f"{quota.cpu_limit_m}m",
                "requests.memory": f"{quota.memory_request_mib}Mi",
                "limits.memory": f"{quota.memory_limit_mib}Mi",
                "requests.storage": f"{quota.storage_mib}Mi",
                "limits.ephemeral-storage": f"{quota.ephemeral_mib}Mi",
                "pods": str(quota.pods),
                "persistentvolumeclaims": str(quota.volumes),
                # A way in that goes round the ingress controller, and with it round the network policies.
                "services.nodeports": "0",
                "services.loadbalancers": "0",
            }
        },
    }


def _limits(spec: TenantSpec) -> Manifest:
    """Defaults for a container that names none (somebody's debug pod); ours all name theirs."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(spec, "tenant"),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "default": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
                    "defaultRequest": {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
                }
            ]
        },
    }


def _service_account(spec: TenantSpec, name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(spec, name),
        "automountServiceAccountToken": False,
    }


def _viewers(spec: TenantSpec) -> tuple[Manifest, Manifest]:
    """Read-only access for the group `tenantry:<namespace>:viewers`: no Secrets, no exec, no port-forward."""
    read = ["get", "list", "watch"]
    role: Manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata(spec, "viewer"),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["pods", "pods/log", "services", "events", "persistentvolumeclaims", "resourcequotas"],
                "verbs": read,
            },
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "replicasets"], "verbs": read},
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": read},
            {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": read},
            {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": read},
        ],
    }
    binding: Manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata(spec, "viewer"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": f"tenantry:{spec.names.namespace}:viewers",
            }
        ],
    }
    return role, binding
