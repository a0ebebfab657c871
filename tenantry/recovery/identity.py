"""Being the tenant: its backup program's surroundings, opened by a short token of its own service account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenantry.backup.settings import PREFIX, Settings
from tenantry.backup.surroundings import Surroundings, surroundings
from tenantry.engine.cluster import ApiError, connect
from tenantry.tenancy.errors import RunFailed
from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry_components.backup import backup_environment
from tenantry_components.namespace import BACKUP_ACCOUNT
from tenantry_components.trust import OWN_SERVER

__all__ = ["SNAPSHOTS", "as_tenant", "holds_data"]

SNAPSHOTS = "snapshots/"
"""Folder below the tenant's prefix for what is taken before something risky: retention does not look into it."""
_TOKEN_S = 3600


def holds_data(spec: TenantSpec) -> bool:
    """Whether there is a real database server behind the tenant: its own one is simulated where nodes are."""
    return not spec.cell.spec.kubernetes.simulated_nodes or spec.database.tier is DatabaseTier.SHARED


@contextmanager
def as_tenant(spec: TenantSpec, *, folder: str = "") -> Iterator[Surroundings]:
    """What the tenant's backup program works with, without its media, which only a pod can reach.

    folder: below the tenant's prefix in the store. Raises DependencyUnavailable, and RunFailed where the tenant's
    service account is gone.
    """
    openbao = spec.cell.spec.openbao
    with _in_memory(spec.cell.spec.ca_bundle) as authority, _in_memory(_service_account_token(spec)) as token:
        environment = {
            name: text for name, text in backup_environment(spec, folder=folder).items() if name.startswith(PREFIX)
        }
        environment |= {
            f"{PREFIX}AUTH": "kubernetes",
            f"{PREFIX}AUTH_MOUNT": openbao.kubernetes_mount,
            f"{PREFIX}AUTH_TOKEN_FILE": token,
            f"{PREFIX}MEDIA": "",
            "VAULT_ADDR": openbao.address,
        }
        environment |= {
            name: authority for name in environment if name in (f"{PREFIX}DATABASE_CA", f"{PREFIX}STORE_CA")
        }
        if "VAULT_CACERT" in os.environ:
            environment["VAULT_CACERT"] = os.environ["VAULT_CACERT"]
        with surroundings(Settings.from_environment(environment)) as around:
            if spec.database.tier is not DatabaseTier.DEDICATED:
                yield around
                return
            own = around.openbao.secret(OWN_SERVER) or {}
            with _in_memory(str(own.get("certificate") or "")) as certificate:
                yield replace(around, database=replace(around.database, authority=Path(certificate)))


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path by which this process and its children read the text, and nobody else's account. On a disk a process that
    is killed would leave it behind, with the token in it."""
    handle = os.memfd_create("tenantry-backup")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(text.encode("ascii"))
        yield f"/proc/{os.getpid()}/fd/{handle}"
    finally:
        os.close(handle)


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
            hint="bring the tenant back to what its file says (`tenantry tenant up`), then try again",
        ) from None
