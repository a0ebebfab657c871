"""The application's own secrets of a backup, brought back into OpenBao."""

from __future__ import annotations

import json
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from tenantry.backup.envelope import opened
from tenantry.backup.manifest import Manifest
from tenantry.backup.surroundings import Surroundings
from tenantry.backup.taking import APPLICATION_SECRETS
from tenantry.openbao import VersionMoved, openbao
from tenantry.tenancy.spec import TenantSpec

__all__ = ["keep_secrets", "saved_secrets"]


def saved_secrets(source: Surroundings, manifest: Manifest) -> dict[str, Any]:
    """Those in the backup; none where the application has none."""
    part = next((one for one in manifest.parts if one.kind == "secrets"), None)
    if part is None:
        return {}
    with opened(manifest, part, store=source.store, openbao=source.openbao) as plain:
        found: dict[str, Any] = json.loads(plain.read())
    return found


def keep_secrets(spec: TenantSpec, fields: dict[str, str]) -> None:
    """Write these fields where the workload reads them; others that are there stay."""
    mount, path = spec.cell.spec.openbao.kv_mount, f"{spec.names.kv_path}/{APPLICATION_SECRETS}"

    def keep() -> None:
        present = openbao().kv_fields(mount, path)
        if present is None:
            openbao().kv_write(mount, path, fields, version=0)
        else:
            openbao().kv_patch(mount, path, fields, version=present[1])

    # Somebody may write in between: then what he wrote is read again.
    Retrying(retry=retry_if_exception_type(VersionMoved), stop=stop_after_attempt(4), reraise=True)(keep)
