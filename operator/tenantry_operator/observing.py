"""What is found of a tenant when it is looked at: its object, its record, what the file asks for, what runs.

Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenantry.engine.cluster import Cluster
from tenantry.fleet import Fleet, Record
from tenantry.fleet.tenant_objects import MANAGED_BY, file_of
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.lifecycle import Expiry, Stage, expiry_of
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.naming import incarnation_of, names
from tenantry.tenancy.spec import TenantSpec
from tenantry_operator.contract import ModuleState

__all__ = ["Observed", "modules_in", "observe"]

_NEVER = Expiry(stage=Stage.NONE, next_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """problem: why the tenant cannot be accepted as it is asked for; then spec is None, and file perhaps too."""

    body: Mapping[str, Any]
    incarnation: str
    namespace: str
    record: Record | None
    file: TenantFile | None
    spec: TenantSpec | None
    problem: TenantryError | None
    expiry: Expiry


def observe(body: Mapping[str, Any], fleet: Fleet, now: datetime) -> Observed:
    """Read the object against the fleet's record. Raises only when the record itself cannot be read."""
    metadata = body["metadata"]
    name, uid = str(metadata["name"]), str(metadata["uid"])
    record = fleet.registry.get(name)
    own = record is not None and record.uid in (None, uid)
    incarnation = record.incarnation if own and record is not None else incarnation_of(uid)
    file: TenantFile | None = None
    spec: TenantSpec | None = None
    problem: TenantryError | None = None
    expiry = _NEVER
    try:
        file = file_of(body)
        expiry = _expiry(file, fleet, now)
        managed_by = str((metadata.get("labels") or {}).get(MANAGED_BY) or "kubectl")
        closed = expiry.stage in (Stage.EXPIRED, Stage.OVERDUE) and record is not None
        spec = fleet.specs.admit(file, uid=uid, managed_by=managed_by, closed=closed)
        incarnation = spec.incarnation
    except TenantryError as error:
        # A tenant that is being deleted need not be acceptable any more.
        ending = metadata.get("deletionTimestamp") or fleet.deletions.get(name) is not None
        problem = None if ending else error
    return Observed(
        body=body,
        incarnation=incarnation,
        namespace=record.namespace if own and record is not None else names(name, incarnation).namespace,
        record=record,
        file=file,
        spec=spec,
        problem=problem,
        expiry=expiry,
    )


def modules_in(kubernetes: Cluster, namespace: str) -> tuple[ModuleState, ...]:
    """The Deployments and StatefulSets of a namespace. Raises DependencyUnavailable without an answer."""
    found = []
    for plural in ("deployments", "statefulsets"):
        listed = kubernetes.request(
            "GET", f"/apis/apps/v1/namespaces/{namespace}/{plural}", query={"resourceVersion": "0"}
        )
        for item in listed.get("items") or ():
            status = item.get("status") or {}
            found.append(
                ModuleState(
                    name=str(item["metadata"]["name"]),
                    ready=int(status.get("readyReplicas") or 0),
                    wanted=int(item["spec"].get("replicas", 1)),
                )
            )
    return tuple(sorted(found, key=lambda one: one.name))


def _expiry(file: TenantFile, fleet: Fleet, now: datetime) -> Expiry:
    allowed = fleet.catalogue.environments[file.tenant.spec.environment].spec
    if not allowed.expiry:
        return _NEVER
    return expiry_of(
        file.tenant.spec.expires_on,
        now.astimezone(UTC),
        warning=timedelta(days=allowed.expiry_warning_days),
        grace=timedelta(days=allowed.expiry_grace_days),
    )
