"""Storage migration: every Tenant object is stored in the version that the definition stores in now.

After it, the definition says that no other version is stored any more, and one that is no longer served may go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Migrated", "migrate_storage"]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MERGE = "application/merge-patch+json"
_PAGE = "200"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """version: in which all are stored now. before: what the definition named. objects: how many were written anew."""

    version: str
    before: tuple[str, ...]
    objects: int


def migrate_storage(cluster: Cluster, definition: str, *, progress: Callable[[str], None]) -> Migrated:
    """Write every object back as it is, then note that only the storage version is left; safe to repeat.

    definition: name of the CustomResourceDefinition. Raises DependencyUnavailable where it is absent or not allowed.
    """
    try:
        found = cluster.request("GET", f"{_DEFINITIONS}/{definition}")
        spec, before = found["spec"], tuple(found["status"].get("storedVersions") or ())
        version = next(one["name"] for one in spec["versions"] if one["storage"])
        if before == (version,):
            return Migrated(version=version, before=before, objects=0)
        path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
        count, token = 0, ""
        while True:
            page = cluster.request("GET", path, query={"limit": _PAGE, "continue": token})
            for one in page.get("items") or ():
                count += _written_back(cluster, path, one)
            progress(f"{count} objects are stored as {version}")
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                break
        status = {"status": {"storedVersions": [version]}}
        cluster.request("PATCH", f"{_DEFINITIONS}/{definition}/status", body=status, content_type=_MERGE)
    except ApiError as error:
        raise DependencyUnavailable(
            f"the storage cannot be migrated ({error.status}): {error}",
            where=definition,
            hint="it takes an administrator of the cluster, and a definition that `tenantry cell up` has set up",
        ) from None
    return Migrated(version=version, before=before, objects=count)


def _written_back(cluster: Cluster, path: str, body: dict[str, object]) -> int:
    """1 for an object that is stored anew: by us, or by somebody who wrote it meanwhile."""
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    try:
        cluster.request("PUT", f"{path}/{metadata['name']}", body=body)
    except ApiError as error:
        if error.status == 404:
            return 0
        if error.status != 409:
            raise
    return 1
