"""A cell that is set up, this process as its provisioner, and tenants with rows in them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tenantry.fleet import Fleet
from tenantry.fleet.operations import Operations
from tenantry.local import LocalPlatform
from tenantry.recovery.backing_up import BackingUp
from tenantry.recovery.identity import as_tenant
from tenantry.recovery.keeper import database_server_of
from tenantry.recovery.restoring import Restoring
from tenantry.recovery.schema import SCRATCH_SUFFIXES
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.spec import TenantSpec

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec: {{displayName: Somebody, owner: somebody@example.com, plan: growth, environment: staging{more}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """A provisioned tenant, and ways to look into it."""

    fleet: Fleet
    file: TenantFile
    spec: TenantSpec

    @property
    def operations(self) -> Operations:
        return self.fleet.operations(self.spec.names.namespace)

    @property
    def backing_up(self) -> BackingUp:
        return BackingUp(self.spec, self.operations)

    def restoring(self, **more: Any) -> Restoring:
        return Restoring(self.fleet, self.spec, **more)

    def sql(self, statement: str) -> tuple[Any, ...]:
        """As the provisioner, `{}` standing for the tenant's schema."""
        with database_server_of(self.spec).session() as session:
            return session.execute(statement.format(f"`{self.spec.names.schema}`"))

    def rows(self) -> dict[str, Any]:
        names = sorted(name for (name, kind) in self.sql("SHOW FULL TABLES IN {}") if kind == "BASE TABLE")
        return {name: self.sql("SELECT * FROM {}." + f"`{name}` ORDER BY 1") for name in names}

    def scratch_left(self) -> list[str]:
        schemas = {self.spec.names.schema + suffix for suffix in SCRATCH_SUFFIXES}
        return [name for (name,) in self.sql("SHOW DATABASES") if name in schemas]

    def secrets(self) -> dict[str, Any]:
        with as_tenant(self.spec) as around:
            return around.openbao.secret("app") or {}


Make = Callable[..., Living]


@pytest.fixture(scope="package")
def fleet(prepared: Fleet, platform: LocalPlatform) -> Iterator[Fleet]:
    """The shared cell, and this process as its provisioner."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (platform.environment() | prepared.provisioner.environment()).items():
            patch.setenv(name, value)
        yield prepared


@pytest.fixture(scope="package")
def make(fleet: Fleet) -> Make:
    def run(name: str | None = None, more: str = "") -> Living:
        text = TENANT.format(name=name or f"r{secrets.token_hex(3)}", more=more)
        file = parse_tenant(text, source="tenant.yaml")
        (spec,) = fleet.specs.resolve_all([file])
        (applied,) = fleet.up([(file, spec)])
        assert applied.error is None, applied.error
        return Living(fleet=fleet, file=file, spec=spec)

    return run


@pytest.fixture(scope="package")
def shop(make: Make) -> Living:
    """One tenant for the tests that leave it as they found it, or as they say."""
    return make()


def fill(living: Living, word: str) -> None:
    """Rows, a view and a trigger that all say `word`."""
    for name, kind in living.sql("SHOW FULL TABLES IN {}"):
        living.sql(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} " + "{}." + f"`{name}`")
    living.sql("CREATE TABLE {}.people (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT)")
    living.sql("INSERT INTO {}.people (name) VALUES " + f"('{word}'), ('{word} ü')")
    living.sql("CREATE TABLE {}." + f"`only_{word}` (id INT PRIMARY KEY)")
    living.sql("CREATE OR REPLACE VIEW {}.names AS SELECT " + f"'{word}' AS said")
