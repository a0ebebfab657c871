"""A cell whose catalogue has an application with three releases, and tenants that run the first.

Nodes are simulated: Jobs and Deployments come and go as in earnest, and what a migration would do to the data is done
by the tests, in the tenant's real schema.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet, Record
from tenantry.local import LocalPlatform
from tenantry.openbao import openbao
from tenantry.releasing import Releasing
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.naming import names
from tenantry.tenancy.release import Version

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Somebody
  owner: somebody@example.com
  plan: growth
  environment: staging
  workload: courier
"""
FIRST, SECOND, THIRD = (Version(release=name, template_version=1) for name in ("1.0", "2.0", "3.0"))
PORT = 18080
"""Where the smoke check asks; nothing listens there but what a test puts there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A tenant that runs the first release and has sent two letters."""

    name: str
    namespace: str
    schema: str
    fleet: Fleet
    platform: LocalPlatform

    @property
    def record(self) -> Record:
        return self.fleet.record(self.name)

    @property
    def cluster(self) -> Cluster:
        return connect({})

    def sql(self, statement: str) -> tuple[Any, ...]:
        login = openbao().read("database/static-creds/tenantry-provisioner")
        database = self.fleet.cell.spec.database
        with (
            pymysql.connect(
                host=database.host,
                port=database.port,
                user=login["username"],
                password=login["password"],
                database=self.schema,
                ssl_ca=str(self.platform.environment()["VAULT_CACERT"]),
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def migrate(self) -> None:
        """What the second release's migration does to the data. It may be done again."""
        self.sql("ALTER TABLE letters ADD COLUMN IF NOT EXISTS stamp INT NOT NULL DEFAULT 2")
        self.sql("DELETE FROM letters WHERE text = 'one'")

    @property
    def letters(self) -> tuple[Any, ...]:
        return self.sql("SELECT * FROM letters ORDER BY text")

    def images(self) -> dict[str, str]:
        """Tag of the image, by Deployment of the workload."""
        deployments = self.cluster.request("GET", f"/apis/apps/v1/namespaces/{self.namespace}/deployments")
        return {
            one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"].rsplit(":", 1)[1]
            for one in deployments["items"]
            if one["metadata"]["name"] in ("web", "carrier")
        }

    def is_open(self) -> bool:
        """Whether schedules run and the hosts lead to the pods."""
        crons = self.cluster.request("GET", f"/apis/batch/v1/namespaces/{self.namespace}/cronjobs")
        service = self.cluster.request("GET", f"/api/v1/namespaces/{self.namespace}/services/web")
        suspended = [one for one in crons["items"] if one["spec"].get("suspend")]
        return not suspended and "tenantry.dev/traffic" not in service["spec"]["selector"]


OLD_LETTERS, NEW_LETTERS = (("one",), ("two",)), (("two", 2),)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue with the courier in it."""
    root = tmp_path_factory.mktemp("catalogue") / "templates"
    shutil.copytree(Catalogue.root(), root)
    folder = root / "workloads" / "courier" / "v1"
    folder.mkdir(parents=True)
    text = Path(__file__).with_name("workload.yaml").read_text(encoding="utf-8").replace("PORT", str(PORT))
    (folder / "workload.yaml").write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="package")
def fleet(prepared: Fleet, platform: LocalPlatform, templates: Path) -> Iterator[Fleet]:
    """This process is the provisioner."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (platform.environment() | prepared.provisioner.environment()).items():
            patch.setenv(name, value)
        yield Fleet(
            cell=prepared.cell,
            engine=prepared.engine,
            catalogue=Catalogue.load(templates),
            root=prepared.folder.parents[1],
        )


@pytest.fixture(scope="package")
def releasing(fleet: Fleet) -> Releasing:
    return Releasing(fleet)


Make = Callable[[], Sender]


@pytest.fixture
def sender(fleet: Fleet, platform: LocalPlatform) -> Sender:
    """A tenant that nobody has had, at the first release."""
    name = f"x{secrets.token_hex(4)}"
    pinned = parse_tenant(TENANT.format(name=name) + '  release: "1.0"\n', source="tenant.yaml")
    (spec,) = fleet.specs.resolve_all([pinned])
    (applied,) = fleet.up([(pinned, spec)])
    assert applied.error is None, getattr(applied.error, "problems", applied.error)
    file = parse_tenant(TENANT.format(name=name), source="tenant.yaml")
    (spec,) = fleet.specs.resolve_all([file])
    assert spec.workload.release == "1.0"
    fleet.up([(file, spec)])
    derived = names(name, spec.incarnation)
    made = Sender(name=name, namespace=derived.namespace, schema=derived.schema, fleet=fleet, platform=platform)
    made.sql("CREATE TABLE letters (text VARCHAR(20))")
    made.sql("INSERT INTO letters VALUES ('one'), ('two')")
    return made
