"""The media of a backup, brought back by a Job of the tenant's own: only its pods reach its volumes.

Those pods have no right to another tenant's key. Media of another tenant's backup are sealed anew first, for this
tenant and aside from its backups, and removed from there when the Job has ended.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from tenantry.backup.catalogue import catalogue, remove
from tenantry.backup.envelope import opened, part_of
from tenantry.backup.manifest import MANIFEST, Manifest, Part
from tenantry.backup.stopping import StoppableSink, Stopped
from tenantry.backup.surroundings import Surroundings
from tenantry.engine.awaiting import State, readiness
from tenantry.engine.cluster import Cluster, connect
from tenantry.recovery.identity import as_tenant
from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import media_job

__all__ = ["bring_media", "volumes_of"]

_INCOMING = "incoming/"
"""Where another tenant's media are sealed anew, below the tenant's prefix in the store."""
_LOOK_S = 1.0
_PIECE_BYTES = 1024 * 1024


def volumes_of(spec: TenantSpec) -> tuple[str, ...]:
    """Volumes whose files are backed up; none where nodes are simulated and no volume holds any."""
    if spec.cell.spec.kubernetes.simulated_nodes:
        return ()
    return tuple(volume.name for volume in spec.workload.storage if volume.backup)


def bring_media(
    spec: TenantSpec,
    manifest: Manifest,
    volumes: Sequence[str],
    *,
    origin: Surroundings | None,
    stopping: Callable[[], bool],
) -> bool:
    """Have the Job do it, within the deadline that a backup has; whether it did. The next call goes on when this one is
    stopped (Stopped) or killed. origin: another tenant whose backup it is."""
    if origin is None:
        return _by_job(spec, manifest.id, folder="", stopping=stopping)
    with as_tenant(spec, folder=_INCOMING) as incoming:
        _seal_anew(origin, incoming, manifest, volumes, stopping)
        done = _by_job(spec, manifest.id, folder=_INCOMING, stopping=stopping)
        remove(incoming.store, catalogue(incoming.store), manifest.id)
        incoming.store.sweep()
    return done


def _seal_anew(
    origin: Surroundings,
    incoming: Surroundings,
    manifest: Manifest,
    volumes: Sequence[str],
    stopping: Callable[[], bool],
) -> None:
    """Memory stays flat. What an earlier call has done stays; what it has begun is begun again."""
    found = catalogue(incoming.store)
    if any(one.id == manifest.id for one in found.whole):
        return
    remove(incoming.store, found, manifest.id)
    settings = incoming.settings
    parts: list[Part] = []
    for part in manifest.parts:
        if part.kind != "media" or part.volume not in volumes:
            continue
        with (
            opened(manifest, part, store=origin.store, openbao=origin.openbao) as plain,
            part_of(
                store=incoming.store,
                openbao=incoming.openbao,
                namespace=settings.namespace,
                incarnation=settings.incarnation,
                identifier=manifest.id,
                name=part.name,
            ) as envelope,
        ):
            shutil.copyfileobj(plain, StoppableSink(envelope.sink, stopping), _PIECE_BYTES)
        parts.append(envelope.part("media"))
    sealed = manifest.model_copy(
        update={
            "namespace": settings.namespace,
            "incarnation": settings.incarnation,
            "database_schema": settings.database_schema,
            "transit_key": incoming.openbao.key_name,
            "parts": tuple(parts),
            "content": None,
            "left_out": (),
        }
    )
    incoming.store.put(f"{manifest.id}/{MANIFEST}", sealed.text())


def _by_job(spec: TenantSpec, identifier: str, *, folder: str, stopping: Callable[[], bool]) -> bool:
    path = f"/apis/batch/v1/namespaces/{spec.names.namespace}/jobs"
    job = media_job(spec, f"restore-{identifier.lower()}", identifier, folder=folder)
    name = job["metadata"]["name"]
    cluster = connect({})
    while (state := _state(cluster, path, job)) is State.WAITING:
        if stopping():
            raise Stopped("stopped while media were brought back; the next attempt goes on with it")
        time.sleep(_LOOK_S)
    cluster.request("DELETE", f"{path}/{name}", query={"propagationPolicy": "Background"})
    return state is State.READY


def _state(cluster: Cluster, path: str, job: dict[str, Any]) -> State:
    """Of the Job, which is made where there is none."""
    found = cluster.get(f"{path}/{job['metadata']['name']}")
    if found is None:
        cluster.request("POST", path, body=job)
        return State.WAITING
    return readiness(found).state
