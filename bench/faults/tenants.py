"""A tenant of the suite: made by its object alone, with rows and secrets of its own, and looked into as itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.faults.cell import FaultCell
from tenantry.engine.cluster import ApiError
from tenantry.fleet.tenant_objects import path_of
from tenantry.openbao import openbao
from tenantry.recovery.identity import as_tenant
from tenantry.tenancy.conditions import ConditionType, read
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.naming import incarnation_of, names
from tenantry.tenancy.spec import Names, TenantSpec
from tenantry.tenancy.standing import Standing, standing_of

__all__ = ["NEW", "OLD", "Tenant"]

OLD, NEW = "4.5.2", "4.6.0"
"""Releases of the catalogue's small workload."""
_MANIFEST = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Faults
  owner: faults@example.com
  plan: {plan}
  environment: test
  deletionPolicy: delete
  graceDays: 0
  workload: shlink
  release: "{release}"
"""
_MERGE = "application/merge-patch+json"
_SECRETS = "app"


@dataclass(slots=True, kw_only=True)
class Tenant:
    """uid: of its object. applied: when, by the monotonic clock."""

    cell: FaultCell
    name: str
    plan: str
    uid: str
    applied: float

    @classmethod
    def apply(cls, cell: FaultCell, name: str, plan: str) -> Tenant:
        file = parse_tenant(_MANIFEST.format(name=name, plan=plan, release=OLD), source=name)
        began = time.monotonic()
        body = cell.objects.apply(file, driver="cli", take_over=True)
        return cls(cell=cell, name=name, plan=plan, uid=str(body["metadata"]["uid"]), applied=began)

    @property
    def names(self) -> Names:
        return names(self.name, incarnation_of(self.uid))

    @property
    def incarnation(self) -> str:
        return incarnation_of(self.uid)

    @property
    def spec(self) -> TenantSpec:
        return self.cell.fleet.specs.of(self.cell.fleet.record(self.name))

    # -- its object ---------------------------------------------------------------------------------------

    def body(self) -> dict[str, Any] | None:
        return self.cell.objects.get(self.name)

    def patch(self, change: Mapping[str, Any]) -> None:
        self.cell.cluster.request("PATCH", path_of(self.name), body=change, content_type=_MERGE)

    def annotate(self, **annotations: str) -> None:
        self.patch({"metadata": {"annotations": annotations}})

    def standing(self) -> Standing | None:
        """None when its object is gone, or cannot be asked for."""
        try:
            body = self.body()
        except (ApiError, TenantryError):
            return None
        return standing_of(body) if body else None

    def condition(self, kind: ConditionType) -> tuple[str, str]:
        """Status and reason, ("", "") while it cannot be asked for."""
        try:
            body = self.body() or {}
        except (ApiError, TenantryError):
            return "", ""
        found = read((body.get("status") or {}).get("conditions") or (), kind) or {}
        return str(found.get("status") or ""), str(found.get("reason") or "")

    def images(self) -> dict[str, str]:
        """Tag of the workload's image, by Deployment."""
        path = f"/apis/apps/v1/namespaces/{self.names.namespace}/deployments"
        found = {
            one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"]
            for one in self.cell.cluster.request("GET", path)["items"]
        }
        return {name: image.rsplit(":", 1)[1] for name, image in found.items() if "shlink" in image}

    # -- its data, as itself ------------------------------------------------------------------------------

    def sql(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        """By the tenant's own account, in its schema; what the last one gives."""
        answer: tuple[tuple[Any, ...], ...] = ()
        with as_tenant(self.spec) as around, around.database.session() as (session, _):
            session.execute(f"USE `{self.names.schema}`")
            for statement in statements:
                answer = session.execute(statement)
        return answer

    def fill(self) -> None:
        """Rows and a secret that must never be lost."""
        self.sql(
            "CREATE TABLE IF NOT EXISTS letters (text VARCHAR(20) PRIMARY KEY)",
            "INSERT IGNORE INTO letters (text) VALUES ('one'), ('two')",
        )
        self.keep_secret("first")

    def migrate(self) -> None:
        """What the new release's migration does to the data. It may be done again."""
        self.sql(
            "ALTER TABLE letters ADD COLUMN IF NOT EXISTS stamp INT NOT NULL DEFAULT 2",
            "DELETE FROM letters WHERE text = 'one'",
        )

    def rows(self) -> tuple[tuple[Any, ...], ...]:
        return self.sql("SELECT * FROM letters ORDER BY text")

    def keep_secret(self, word: str) -> None:
        mount, path = self.spec.cell.spec.openbao.kv_mount, f"{self.names.kv_path}/{_SECRETS}"
        present = openbao().kv_fields(mount, path)
        if present is None:
            openbao().kv_write(mount, path, {"word": word}, version=0)
        else:
            openbao().kv_patch(mount, path, {"word": word}, version=present[1])

    def secret(self) -> str:
        with as_tenant(self.spec) as around:
            return str((around.openbao.secret(_SECRETS) or {}).get("word"))
