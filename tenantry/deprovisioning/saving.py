"""The final backup, taken as the tenant itself: with a short token of its own service account, and nothing more.

Where nodes are real, the tenant's own scheduled Job does it, since only a pod of it can read its volumes. Where they
are simulated no pod runs, and the volumes hold nothing; then this process takes the database and the secrets.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tenantry.backup.catalogue import catalogue
from tenantry.backup.manifest import MANIFEST, Manifest
from tenantry.backup.settings import PREFIX, Settings
from tenantry.backup.store import Store, store_at
from tenantry.backup.surroundings import surroundings
from tenantry.backup.taking import take
from tenantry.engine.cluster import ApiError, connect
from tenantry.tenancy.deletion import FinalBackup
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tenantry.tenancy.spec import DatabaseTier, DeletionPolicy, TenantSpec
from tenantry_components.backup import backup_environment, backup_manifests
from tenantry_components.namespace import BACKUP_ACCOUNT

__all__ = ["final_backup"]

_JOB = "final-backup"
_TOKEN_S = 3600


def final_backup(spec: TenantSpec, *, since: datetime) -> FinalBackup:
    """The backup that was taken last before erasing. since: one that was begun after this moment is good enough, so
    that a killed run takes no second one. Raises DependencyUnavailable while it cannot be taken."""
    if spec.deletion_policy is DeletionPolicy.DELETE:
        return FinalBackup(note="the deletion policy asks for none")
    if not spec.backup.enabled:
        return FinalBackup(note="the tenant's file switches backups off")
    simulated = spec.cell.spec.kubernetes.simulated_nodes
    if simulated and spec.database.tier is not DatabaseTier.SHARED:
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
    openbao = spec.cell.spec.openbao
    with tempfile.TemporaryDirectory(prefix="tenantry-backup-") as name:
        folder = Path(name)  # 0700, like every folder that tempfile makes
        (folder / "ca.pem").write_text(spec.cell.spec.ca_bundle, encoding="ascii")
        (folder / "token").write_text(_service_account_token(spec), encoding="ascii")
        environment = {name: text for name, text in backup_environment(spec).items() if name.startswith(PREFIX)}
        environment |= {
            f"{PREFIX}AUTH": "kubernetes",
            f"{PREFIX}AUTH_MOUNT": openbao.kubernetes_mount,
            f"{PREFIX}AUTH_TOKEN_FILE": str(folder / "token"),
            f"{PREFIX}MEDIA": "",
            f"{PREFIX}DATABASE_CA": str(folder / "ca.pem"),
            "VAULT_ADDR": openbao.address,
        }
        if "VAULT_CACERT" in os.environ:
            environment["VAULT_CACERT"] = os.environ["VAULT_CACERT"]
        with surroundings(Settings.from_environment(environment)) as around:
            manifest, _ = take(around)
    return manifest


def _service_account_token(spec: TenantSpec) -> str:
    """A token of the tenant's backup account, for OpenBao alone, where it is this tenant and no other."""
    path = f"/api/v1/namespaces/{spec.names.namespace}/serviceaccounts/{BACKUP_ACCOUNT}/token"
    request: dict[str, Any] = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [spec.cell.spec.openbao.audience], "expirationSeconds": _TOKEN_S},
    }
    try:
        return str(connect({}).request("POST", path, body=request)["status"]["token"])
    except ApiError as error:
        raise RunFailed(
            f"the API server gives no token of the tenant's backup account (status {error.status})",
            where=path,
            hint="bring the tenant back to what its file says (`tenantry tenant undelete`), then delete it again",
        ) from None


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
