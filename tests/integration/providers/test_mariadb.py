"""Login matrix on the real MariaDB: a tenant's account opens its own schema, within its cap, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from pymysql.constants import ER

from tenantry.openbao import openbao
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry_components.providers import database_connection
from tenantry_components.providers.credential import Login, authority
from tenantry_components.providers.mariadb import AccountProvider, SchemaProvider
from tenantry_components.providers.mariadb_server import Session, connect
from tenantry_components.providers.openbao import DatabaseStaticRoleProvider

Made = dict[str, dict[str, Any]]


@pytest.fixture
def make(cell: Cell, cell_run: object, request: pytest.FixtureRequest) -> Callable[..., Made]:
    """Makes a schema, an account and its static role; removed at the end."""

    def make(schema: str, role: str) -> Made:
        base = {
            "host": cell.spec.database.host,
            "port": cell.spec.database.port,
            "schema": schema,
            "kv_mount": "kv",
            "database_mount": "database",
        }
        account = {**base, "username": f"{schema}_a", "max_connections": 2, "grants": "exact"}
        static = {
            "mount": "database",
            "role": role,
            "connection": "shared",
            "username": f"{schema}_a",
            "rotation_days": 7,
        }
        for provider, props in (
            (SchemaProvider(), base),
            (AccountProvider(), account),
            (DatabaseStaticRoleProvider(), static),
        ):
            provider.create(props)
            request.addfinalizer(lambda provider=provider, props=props: provider.delete("", props))
        return {"schema": base, "account": account, "role": static}

    return make


def login(cell: Cell, role: str) -> Session:
    answer = openbao().read(f"database/static-creds/{role}")
    assert answer is not None
    return connect(
        host=cell.spec.database.host,
        port=cell.spec.database.port,
        login=Login(username=answer["username"], password=answer["password"], authority=authority("kv")),
    )


def test_an_account_sees_its_own_schema_only(cell: Cell, make: Callable[..., Made], tenant: str) -> None:
    own = tenant.replace("-", "_")
    # What an unescaped underscore in GRANT would open as well.
    lookalike = own.replace("_", "z", 2).replace("tz", "t_", 1)
    make(lookalike, f"{tenant}-other")
    make(own, f"{tenant}-a")
    session = login(cell, f"{tenant}-a")
    assert {row[0] for row in session.execute("SHOW DATABASES")} == {"information_schema", own}
    session.execute(f"CREATE TABLE `{own}`.contact (id INT PRIMARY KEY)")
    session.execute(f"INSERT INTO `{own}`.contact VALUES (1)")
    assert session.execute(f"SELECT id FROM `{own}`.contact") == ((1,),)
    for statement in (
        f"CREATE TABLE `{lookalike}`.x (id INT)",
        "SELECT * FROM mysql.global_priv",
        "SHOW GRANTS FOR root@localhost",
    ):
        with pytest.raises(pymysql.OperationalError) as refused:
            session.execute(statement)
        assert refused.value.args[0] in {ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR}


def test_connections_end_at_the_cap(cell: Cell, make: Callable[..., Made], tenant: str) -> None:
    make(tenant.replace("-", "_"), f"{tenant}-a")
    kept = [login(cell, f"{tenant}-a") for _ in range(2)]
    with pytest.raises(pymysql.OperationalError) as refused:
        login(cell, f"{tenant}-a")
    assert refused.value.args[0] == ER.USER_LIMIT_REACHED
    for session in kept:
        session.connection.close()


def test_ensuring_again_takes_back_foreign_grants_and_keeps_the_password(
    cell: Cell, make: Callable[..., Made], tenant: str
) -> None:
    own = tenant.replace("-", "_")
    made = make(own, f"{tenant}-a")
    before = openbao().read(f"database/static-creds/{tenant}-a")
    as_administrator = database_connection.DatabaseConnectionInputs(
        mount="database",
        connection="shared",
        host=cell.spec.database.host,
        port=cell.spec.database.port,
        authority=cell.spec.ca_bundle,
        provisioner=(),
    )
    database_connection._run_as_administrator(as_administrator, (f"GRANT SELECT ON mysql.* TO '{own}_a'@'%'",))
    provider = AccountProvider()
    drifted = provider.read("", made["account"])
    assert drifted.inputs is not None
    assert provider.diff("", drifted.inputs, made["account"]).changes
    provider.update("", drifted.inputs, made["account"])
    assert provider.read("", made["account"]).inputs == made["account"]
    session = login(cell, f"{tenant}-a")
    assert len(session.execute("SHOW GRANTS")) == 2
    DatabaseStaticRoleProvider().create(made["role"])
    after = openbao().read(f"database/static-creds/{tenant}-a")
    assert before is not None
    assert after is not None
    assert after["password"] == before["password"]


def test_deleting_an_account_ends_its_sessions_and_may_be_repeated(
    cell: Cell, make: Callable[..., Made], tenant: str
) -> None:
    made = make(tenant.replace("-", "_"), f"{tenant}-a")
    session = login(cell, f"{tenant}-a")
    AccountProvider().delete("", made["account"])
    AccountProvider().delete("", made["account"])
    assert AccountProvider().read("", made["account"]).id == ""
    with pytest.raises(pymysql.OperationalError):
        session.execute("SELECT 1")


def test_the_provisioner_cannot_leave_the_tenants_names(cell: Cell, cell_run: object) -> None:
    props = {
        "host": cell.spec.database.host,
        "port": cell.spec.database.port,
        "schema": "txy",
        "kv_mount": "kv",
        "database_mount": "database",
    }
    with pytest.raises(DependencyUnavailable):
        SchemaProvider().create(props)


def test_a_server_that_is_down_is_named(cell_run: object) -> None:
    props = {"host": "127.0.0.1", "port": 1, "schema": "t_a", "kv_mount": "kv", "database_mount": "database"}
    with pytest.raises(DependencyUnavailable, match=r"MariaDB at 127\.0\.0\.1:1 cannot be reached"):
        SchemaProvider().create(props)
