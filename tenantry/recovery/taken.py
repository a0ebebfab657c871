"""One backup taken now: by the tenant's own Job where only a pod of it reaches its volumes or its server, else by
this process as the tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tenantry.backup.catalogue import catalogue
from tenantry.backup.manifest import Manifest
from tenantry.backup.store import Store
from tenantry.backup.taking import take
from tenantry.engine.cluster import ApiError, connect
from tenantry.recovery.identity import as_tenant
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import backup_job

__all__ = ["Begun", "newest", "take_now", "taken_here"]


class Begun(DependencyUnavailable):
    """The tenant's own Job takes the backup; call again."""

    code = "Begun"


def taken_here(spec: TenantSpec) -> bool:
    """Whether this process takes its backups: no pod is needed where none runs, nor where the store is a folder of this
    machine, which no pod reaches, and all there is to save is in a database."""
    if spec.cell.spec.kubernetes.simulated_nodes:
        return True
    volumes = any(volume.backup for volume in spec.workload.storage)
    return spec.cell.spec.backups.kind == "folder" and not volumes


def newest(store: Store, since: datetime | None = None) -> Manifest | None:
    """The last whole backup, of those that were begun at or after this moment."""
    found = [one for one in catalogue(store).whole if since is None or one.started_at >= since]
    return found[-1] if found else None


def take_now(spec: TenantSpec, *, job: str, stopping: Callable[[], bool] = lambda: False) -> Manifest:
    """job: name of the tenant's own Job, where one takes it. Raises DependencyUnavailable while it cannot be taken,
    Begun while the Job runs: call again. A Job that failed is replaced by the next call. stopping: see `take`."""
    if taken_here(spec):
        with as_tenant(spec) as around:
            manifest, _ = take(around, stopping=stopping)
        return manifest
    return _by_job(spec, job)


def _by_job(spec: TenantSpec, name: str) -> Manifest:
    namespace = spec.names.namespace
    where, path = f"{namespace}/{name}", f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster = connect({})
    job = cluster.get(f"{path}/{name}")
    if job is None:
        try:
            cluster.request("POST", path, body=backup_job(spec, name))
        except ApiError as error:
            raise RunFailed(f"the API server refuses the backup's Job ({error.status})", where=where) from None
        raise Begun("the backup has begun", where=where)
    status = job.get("status") or {}
    if not status.get("failed") and not status.get("succeeded"):
        raise Begun("the backup is under way", where=where)
    began = datetime.fromisoformat(str(job["metadata"]["creationTimestamp"]))
    manifest = None
    if status.get("succeeded"):
        with as_tenant(spec) as around:
            manifest = newest(around.store, began)
    cluster.request("DELETE", f"{path}/{name}", query={"propagationPolicy": "Background"})
    if manifest is None:
        raise DependencyUnavailable(
            "the backup failed and will be tried again",
            where=where,
            hint=f"the events tell why: kubectl -n {namespace} get events",
        )
    return manifest
