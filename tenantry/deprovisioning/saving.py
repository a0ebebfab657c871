"""The final backup, taken as the tenant itself: with a short token of its own service account, and nothing more."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tenantry.backup.manifest import MANIFEST
from tenantry.recovery.identity import as_tenant, holds_data
from tenantry.recovery.taken import newest, take_now
from tenantry.tenancy.deletion import FinalBackup
from tenantry.tenancy.spec import DeletionPolicy, TenantSpec

__all__ = ["final_backup"]

_JOB = "final-backup"


def final_backup(spec: TenantSpec, *, since: datetime) -> FinalBackup:
    """The backup that was taken last before erasing. since: one that was begun after this moment is good enough, so
    that a killed run takes no second one. Raises DependencyUnavailable while it cannot be taken."""
    if spec.deletion_policy is DeletionPolicy.DELETE:
        return FinalBackup(note="the deletion policy asks for none")
    if not spec.backup.enabled:
        return FinalBackup(note="the tenant's file switches backups off")
    if not holds_data(spec):
        return FinalBackup(note="the tenant's own database server was simulated and never held data")
    with as_tenant(spec) as around:
        manifest = newest(around.store, since) or take_now(spec, job=_JOB)
        text = around.store.get(f"{manifest.id}/{MANIFEST}") or manifest.text()
    return FinalBackup(id=manifest.id, sha256=hashlib.sha256(text).hexdigest(), size_bytes=manifest.size)
