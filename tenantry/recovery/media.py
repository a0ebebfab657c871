"""The media of a backup, brought back by a Job of the tenant's own: only its pods reach its volumes."""

from __future__ import annotations

import time
from collections.abc import Callable

from tenantry.backup.manifest import Manifest
from tenantry.backup.stopping import Stopped
from tenantry.engine.awaiting import State, readiness
from tenantry.engine.cluster import Cluster, connect
from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import media_job

__all__ = ["bring_media", "volumes_of"]

_LOOK_S = 1.0


def volumes_of(spec: TenantSpec) -> tuple[str, ...]:
    """Volumes whose files are backed up; none where nodes are simulated and no volume holds any."""
    if spec.cell.spec.kubernetes.simulated_nodes:
        return ()
    return tuple(volume.name for volume in spec.workload.storage if volume.backup)


def bring_media(spec: TenantSpec, manifest: Manifest, *, stopping: Callable[[], bool]) -> bool:
    """Have the Job do it, within the deadline that a backup has; whether it did. The next call finds it again when this
    one is stopped (Stopped) or killed."""
    path = f"/apis/batch/v1/namespaces/{spec.names.namespace}/jobs"
    name = f"restore-{manifest.id.lower()}"
    cluster = connect({})
    while (state := _state(cluster, spec, manifest, path, name)) is State.WAITING:
        if stopping():
            raise Stopped("stopped while media were brought back; the next attempt goes on with it")
        time.sleep(_LOOK_S)
    cluster.request("DELETE", f"{path}/{name}", query={"propagationPolicy": "Background"})
    return state is State.READY


def _state(cluster: Cluster, spec: TenantSpec, manifest: Manifest, path: str, name: str) -> State:
    """Of the Job, which is made where there is none."""
    job = cluster.get(f"{path}/{name}")
    if job is None:
        cluster.request("POST", path, body=media_job(spec, name, manifest.id))
        return State.WAITING
    return readiness(job).state
