"""A cell that is set up, and tenants in it that are ready to be deleted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import hvac
import kubernetes.client
import kubernetes.config
import pymysql
import pytest
import requests

from tenantry.deprovisioning import Deprovisioning
from tenantry.fleet import Fleet
from tenantry.fleet.deletions import Deletions
from tenantry.local import LocalPlatform
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.naming import names
from tenantry.tenancy.spec import Names

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Somebody
  owner: somebody@example.com
  plan: growth
  environment: {environment}
  deletionPolicy: {policy}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A provisioned tenant."""

    name: str
    incarnation: str
    text: str

    @property
    def names(self) -> Names:
        return names(self.name, self.incarnation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """The administrator's own way into each system, for planting and looking."""

    fleet: Fleet
    openbao: hvac.Client
    core: kubernetes.client.CoreV1Api
    platform: LocalPlatform

    def sql(self, statement: str, username: str, password: str) -> tuple[Any, ...]:
        database = self.fleet.cell.spec.database
        with (
            pymysql.connect(
                host=database.host,
                port=database.port,
                user=username,
                password=password,
                ssl_ca=str(self.platform.environment()["VAULT_CACERT"]),
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def as_provisioner(self, statement: str) -> tuple[Any, ...]:
        login = self.openbao.read("database/static-creds/tenantry-provisioner")["data"]
        return self.sql(statement, login["username"], login["password"])

    def login(self, part: str) -> dict[str, str]:
        return dict(self.openbao.read(f"kv/data/cell/{part}")["data"]["data"])


@pytest.fixture(scope="package")
def systems(prepared: Fleet, platform: LocalPlatform) -> Iterator[Systems]:
    """The cell as `tenantry cell up` leaves it, and this process as the provisioner."""
    with pytest.MonkeyPatch.context() as patch, requests.Session() as session:
        variables = platform.environment()
        for name, value in (variables | prepared.provisioner.environment()).items():
            patch.setenv(name, value)
        session.trust_env = False
        session.verify = variables["VAULT_CACERT"]
        yield Systems(
            fleet=prepared,
            openbao=hvac.Client(url=variables["VAULT_ADDR"], token=variables["VAULT_TOKEN"], session=session),
            core=kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(variables["KUBECONFIG"])),
            platform=platform,
        )


@pytest.fixture(scope="package")
def fleet(systems: Systems) -> Fleet:
    return systems.fleet


@pytest.fixture(scope="package")
def deprovisioning(fleet: Fleet) -> Deprovisioning:
    return Deprovisioning(fleet)


Make = Callable[..., Made]


@pytest.fixture
def make(fleet: Fleet) -> Make:
    """Provision a tenant that nobody has had."""

    def run(*, environment: str = "test", policy: str = "delete", name: str | None = None) -> Made:
        name = name or f"x{secrets.token_hex(4)}"
        text = TENANT.format(name=name, environment=environment, policy=policy)
        file = parse_tenant(text, source="tenant.yaml")
        (spec,) = fleet.specs.resolve_all([file])
        (applied,) = fleet.up([(file, spec)])
        assert applied.error is None, applied.error
        return Made(name=name, incarnation=spec.incarnation, text=text)

    return run


def grace_is_over(deletions: Deletions, name: str) -> None:
    """Let the time of the grace period pass."""
    deletion = deletions.get(name)
    assert deletion is not None
    deletions.put(deletion.model_copy(update={"due_at": datetime.now(UTC).replace(microsecond=0)}))
