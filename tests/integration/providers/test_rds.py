"""An RDS instance's way into OpenBao, on the real MariaDB: its administrator here has the rights of an RDS master and
no more. Only Secrets Manager is Amazon's in this, and stands in as the emulator moto."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pymysql
import pytest
from moto import mock_aws

from tenantry.fleet.provisioner import ProvisionerToken
from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry_components.providers import database_connection
from tenantry_components.providers.aws_account import aws_client
from tenantry_components.providers.credential import Login, authority
from tenantry_components.providers.mariadb import AccountProvider, SchemaProvider
from tenantry_components.providers.mariadb_server import PROVISIONER, Session, connect
from tenantry_components.providers.openbao import DatabaseStaticRoleProvider
from tenantry_components.providers.rds_connection import _RIGHTS, OPENBAO_ACCOUNT, RdsConnectionProvider

REGION = "eu-central-1"
MASTER_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, "
    "ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rds:
    """connection: the inputs of its connection. account, role: of its provisioner, on it and in OpenBao."""

    connection: dict[str, Any]
    account: str
    role: str


def as_administrator(cell: Cell, *statements: str) -> None:
    inputs = database_connection.DatabaseConnectionInputs(
        mount="database",
        connection="shared",
        host=cell.spec.database.host,
        port=cell.spec.database.port,
        authority=cell.spec.ca_bundle,
        provisioner=(),
    )
    database_connection._run_as_administrator(inputs, statements)


@pytest.fixture
def rds(cell: Cell, tenant: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rds]:
    """A server as RDS hands it over: a master whose password Secrets Manager has, and a procedure to end sessions."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    master, password = f"master-{secrets.token_hex(3)}", secrets.token_hex(16)
    provisioner = f"{tenant.replace('-', '_')}_provisioner"
    as_administrator(
        cell,
        f"CREATE USER '{master}'@'%' IDENTIFIED BY '{password}' REQUIRE SSL",
        f"GRANT {MASTER_RIGHTS} ON *.* TO '{master}'@'%' WITH GRANT OPTION",
        "CREATE PROCEDURE IF NOT EXISTS mysql.rds_kill(IN thread BIGINT) KILL thread",
    )
    with mock_aws():
        aws_client.cache_clear()
        kept = boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name=f"rds!db-{tenant}", SecretString=json.dumps({"username": master, "password": password})
        )
        yield Rds(
            account=provisioner,
            role=f"{PROVISIONER}-{tenant}",
            connection={
                "mount": "database",
                "connection": tenant,
                "host": cell.spec.database.host,
                "port": cell.spec.database.port,
                "secret": kept["ARN"],
                "region": REGION,
                "authority": cell.spec.ca_bundle,
                "roles": [f"{tenant}-a", f"{PROVISIONER}-{tenant}"],
                "provisioner": list(database_connection.provisioner_statements(provisioner, *_RIGHTS)),
            },
        )
    aws_client.cache_clear()
    as_administrator(
        cell,
        *(f"DROP USER IF EXISTS '{name}'@'%'" for name in (master, provisioner, OPENBAO_ACCOUNT)),
        "DROP PROCEDURE IF EXISTS mysql.rds_kill",
    )


@pytest.fixture
def as_provisioner(cell: Cell, cell_run: object, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = ProvisionerToken(cell, root=tmp_path)
    assert token.keep()
    for name, value in token.environment().items():
        monkeypatch.setenv(name, value)


def login(cell: Cell, username: str, password: str) -> Session:
    return connect(
        host=cell.spec.database.host,
        port=cell.spec.database.port,
        login=Login(username=username, password=password, authority=authority("kv")),
    )


def test_a_tenant_gets_its_schema_and_logs_in(
    cell: Cell,
    rds: Rds,
    tenant: str,
    as_provisioner: None,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it under the token of everyday provisioning."""
    connection = RdsConnectionProvider()
    connection.create(rds.connection)
    connection.create(rds.connection)  # what a killed run left is done again
    assert connection.read("", rds.connection).inputs == rds.connection
    roles = DatabaseStaticRoleProvider()
    common = {"mount": "database", "connection": tenant, "rotation_days": 1}
    provisioner = {**common, "role": rds.role, "username": rds.account}
    roles.create(provisioner)
    schema = tenant.replace("-", "_")
    on_server = {
        "host": cell.spec.database.host,
        "port": cell.spec.database.port,
        "schema": schema,
        "kv_mount": "kv",
        "database_mount": "database",
        "provisioner": rds.role,
    }
    account = {**on_server, "username": f"{schema}_a", "max_connections": 5, "grants": "exact"}
    role = {**common, "role": f"{tenant}-a", "username": f"{schema}_a"}
    SchemaProvider().create(on_server)
    AccountProvider().create(account)
    roles.create(role)
    assert AccountProvider().read("", account).inputs == account

    monkeypatch.setenv(
        "VAULT_TOKEN", environment["VAULT_TOKEN"]
    )  # a tenant's password is not the provisioner's to read
    answer = openbao().read(f"database/static-creds/{tenant}-a")
    assert answer is not None
    session = login(cell, answer["username"], answer["password"])
    session.execute(f"CREATE TABLE `{schema}`.contact (id INT PRIMARY KEY)")

    AccountProvider().delete("", account)
    with pytest.raises(pymysql.OperationalError):
        session.execute("SELECT 1")  # the procedure ended it
    SchemaProvider().delete("", on_server)
    for one in (role, provisioner):
        roles.delete("", one)
    connection.delete("", rds.connection)
    assert connection.read("", rds.connection).id == ""


def test_openbao_alone_knows_its_password_and_may_only_make_accounts(cell: Cell, rds: Rds, tenant: str) -> None:
    RdsConnectionProvider().create(rds.connection)
    config = openbao().read(f"database/config/{tenant}")
    assert config is not None
    assert config["connection_details"]["username"] == OPENBAO_ACCOUNT
    assert "password" not in config["connection_details"]
    kept = json.loads(
        boto3.client("secretsmanager", region_name=REGION).get_secret_value(SecretId=rds.connection["secret"])[
            "SecretString"
        ]
    )
    session = login(cell, kept["username"], kept["password"])
    grants = [row[0] for row in session.execute(f"SHOW GRANTS FOR '{OPENBAO_ACCOUNT}'@'%'")]
    assert len(grants) == 1
    assert grants[0].startswith("GRANT CREATE USER ON *.* TO")
    session.connection.close()
    RdsConnectionProvider().delete("", rds.connection)


def test_a_secret_that_is_gone_is_named(rds: Rds) -> None:
    gone = {**rds.connection, "secret": f"{rds.connection['secret']}-gone"}
    with pytest.raises(Exception, match=r"AWS failed at the secret arn:aws:secretsmanager:.*ResourceNotFoundException"):
        RdsConnectionProvider().create(gone)


def test_a_master_whose_password_moved_is_named(rds: Rds, tenant: str) -> None:
    boto3.client("secretsmanager", region_name=REGION).put_secret_value(
        SecretId=rds.connection["secret"], SecretString=json.dumps({"username": "master-x", "password": "wrong"})
    )
    with pytest.raises(DependencyUnavailable):
        RdsConnectionProvider().create(rds.connection)
    assert openbao().read(f"database/config/{tenant}") is None
