"""The final backup, taken as the tenant itself: with a short token of its own service account, and nothing more.

Where nodes are real, the tenant's own scheduled Job does it, since only a pod of it can read its volumes. Where they
are simulated no pod runs, and the volumes hold nothing; then this process takes the database and the secrets.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from tenantry.backup.catalogue import catalogue
from tenantry.backup.manifest import MANIFEST, Manifest
from tenantry.backup.store import Store, store_at
from tenantry.backup.taking import take
from tenantry.engine.cluster import connect
from tenantry.recovery.identity import as_tenant, holds_data
from tenantry.tenancy.deletion import FinalBackup
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.spec import DeletionPolicy, TenantSpec
from tenantry_components.backup import backup_manifests

__all__ = ["final_backup"]

_JOB = "final-backup"


def final_backup(spec: TenantSpec, *, since: datetime) -> FinalBackup:
    """The backup that was taken last before erasing. since: one that was begun after this moment is good enough, so
    that a killed run takes no second one. Raises DependencyUnavailable while it cannot be taken."""
    if spec.deletion_policy is DeletionPolicy.DELETE:
        return FinalBackup(note="the deletion policy asks for none")
    if not spec.backup.enabled:
        return FinalBackup(note="the tenant's file switches backups off")
    simulated = spec.cell.spec.kubernetes.simulated_nodes
    if not holds_data(spec):
        return FinalBackup(note="the tenant's own database server was simulated and never held data")
    backups = spec.cell.spec.backups
    store = store_at(backups.url, kind=backups.kind, prefix=spec.names.backup_prefix)
    manifest = _newest(store, since)
    if manifest is None:
        manifest = _take(spec) if simulated else _by_job(spec, store, since)
    text = store.get(f"{manifest.id}/{MANIFEST}") or manifest.text()
    return FinalBackup(id=manifest.id, sha256=hashlib.sha256(text).hexdigest(), size_bytes=manifest.size)


def _newest(store: Store, since: datetime) -> Manifest | None:
    found = [manifest for manifest in catalogue(store).whole if manifest.started_at >= since]
    return found[-1] if found else None


def _take(spec: TenantSpec) -> Manifest:
    with as_tenant(spec) as around:
        manifest, _ = take(around)
    return manifest


def _by_job(spec: TenantSpec, store: Store, since: datetime) -> Manifest:
    """Start the tenant's backup Job unless it runs, and say how it is. A failed one is replaced by the next call."""
    namespace = spec.names.namespace
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster = connect({})
    job = cluster.get(f"{path}/{_JOB}")
    if job is None:
        _, cron = backup_manifests(spec)
        template = cron["spec"]["jobTemplate"]
        labels = (template.get("metadata") or {}).get("labels") or spec.labels
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": _JOB, "namespace": namespace, "labels": labels},
            "spec": template["spec"],
        }
        cluster.request("POST", path, body=body)
        raise DependencyUnavailable("the final backup has begun", where=f"{namespace}/{_JOB}")
    status = job.get("status") or {}
    if status.get("failed"):
        cluster.request("DELETE", f"{path}/{_JOB}", query={"propagationPolicy": "Background"})
        raise DependencyUnavailable(
            "the final backup failed and will be tried again",
            where=f"{namespace}/{_JOB}",
            hint=f"its pod's log says why: kubectl -n {namespace} logs job/{_JOB}",
        )
    manifest = _newest(store, since) if status.get("succeeded") else None
    if manifest is None:
        raise DependencyUnavailable("the final backup is under way", where=f"{namespace}/{_JOB}")
    return manifest
