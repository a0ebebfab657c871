"""The media of a backup, brought back by a Job of the tenant's own: only its pods reach its volumes."""

from __future__ import annotations

import time
from collections.abc import Callable

from tenantry.backup.manifest import Manifest
from tenantry.backup.stopping import Stopped
from tenantry.engine.cluster import Cluster, connect
from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import media_job

__all__ = ["bring_media", "volumes_of"]

_LOOK_S = 1.0


def volumes_of(spec: TenantSpec, manifest: Manifest) -> tuple[str, ...]:
    """Volumes of the tenant of which the backup has files; none where nodes are simulated and no volume holds any."""
    if spec.cell.spec.kubernetes.simulated_nodes:
        return ()
    saved = {part.name.removeprefix("media-") for part in manifest.parts if part.kind == "media"}
    return tuple(volume.name for volume in spec.workload.storage if volume.backup and volume.name in saved)


def bring_media(spec: TenantSpec, manifest: Manifest, *, stopping: Callable[[], bool]) -> bool:
    """Have the Job do it, within the deadline that a backup has; whether it did. The next call finds it again when this
    one is stopped (Stopped) or killed."""
    path = f"/apis/batch/v1/namespaces/{spec.names.namespace}/jobs"
    name = f"restore-{manifest.id.lower()}"
    cluster = connect({})
    while not (ended := _ended(cluster, spec, manifest, path, name)):
        if stopping():
            raise Stopped("stopped while media were brought back; the next attempt goes on with it")
        time.sleep(_LOOK_S)
    cluster.request("DELETE", f"{path}/{name}", query={"propagationPolicy": "Background"})
    return ended == "Complete"


def _ended(cluster: Cluster, spec: TenantSpec, manifest: Manifest, path: str, name: str) -> str:
    """`Complete`, `Failed`, or "" while the Job is under way; it is made where there is none."""
    job = cluster.get(f"{path}/{name}")
    if job is None:
        named = {"name": name, "namespace": spec.names.namespace, "labels": spec.labels}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": named, "spec": media_job(spec, manifest.id)}
        cluster.request("POST", path, body=body)
        return ""
    found = (job.get("status") or {}).get("conditions") or ()
    true = {str(one["type"]) for one in found if one["status"] == "True"}
    return next(iter(true & {"Complete", "Failed"}), "")
