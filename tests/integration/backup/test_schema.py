"""A schema replaced as a whole: on a real server, with foreign keys, views and triggers, cut off at every step."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hvac
import pytest

from tenantry.backup.database import Login
from tenantry.backup.manifest import Manifest
from tenantry.backup.settings import Settings
from tenantry.backup.surroundings import Surroundings, surroundings
from tenantry.backup.taking import take
from tenantry.recovery.keeper import Keeper, itself
from tenantry.recovery.schema import SchemaRestore
from tenantry.tenancy.errors import Conflict, Locked, RunFailed
from tenantry_components.providers.database_connection import provisioner_statements
from tenantry_components.providers.mariadb import TENANT_PRIVILEGES
from tenantry_components.providers.mariadb_server import MariaDbServer, server
from tests.integration.backup.conftest import Tenant

STEPS = ("make", "load", "definitions", "swap", "define", "clean")


@pytest.fixture
def provisioner(
    tenant: Tenant, mariadb: tuple[int, Path, str], openbao: hvac.Client, monkeypatch: pytest.MonkeyPatch
) -> MariaDbServer:
    """The server as the cell's provisioner has it, with its rights and no more."""
    port, authority, _ = mariadb
    name = "tenantry-provisioner"
    for statement in provisioner_statements(name, "CREATE USER, CONNECTION ADMIN, SHOW DATABASES ON *.*"):
        tenant.sql(statement)
    role = f"tenantry-{secrets.token_hex(3)}"
    openbao.write_data(
        f"database/static-roles/{role}", data={"db_name": "shared", "username": name, "rotation_period": "24h"}
    )
    openbao.secrets.kv.v2.create_or_update_secret(
        path="cell/authority", secret={"pem": authority.read_text()}, mount_point="kv"
    )
    monkeypatch.setenv("VAULT_ADDR", openbao.url)
    monkeypatch.setenv("VAULT_TOKEN", openbao.token)
    return server(host="127.0.0.1", port=port, database_mount="database", kv_mount="kv", role=role)


@pytest.fixture(params=["the provisioner", "the tenant itself"])
def keeper(request: pytest.FixtureRequest, tenant: Tenant, around: Surroundings, provisioner: MariaDbServer) -> Keeper:
    """As on a server of many, and as on one of the tenant's own, where its account has the rights from the start."""
    if request.param == "the provisioner":
        return Keeper(session=provisioner.session, grants=True)
    pattern = tenant.schema.replace("_", r"\_") + r"\_%"
    tenant.sql(f"GRANT {', '.join(TENANT_PRIVILEGES)} ON `{pattern}`.* TO '{tenant.name}'@'%'")
    return Keeper(session=lambda: itself(around.database), grants=False)


@pytest.fixture
def around(tenant: Tenant) -> Iterator[Surroundings]:
    with surroundings(Settings.from_environment(tenant.environment)) as opened:
        yield opened


def fill(tenant: Tenant) -> None:
    tenant.sql("CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(80), body LONGBLOB)")
    tenant.sql(
        "CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, parent INT,"
        " FOREIGN KEY (parent) REFERENCES parent (id))"
    )
    tenant.sql("CREATE TABLE nothing (id INT)")
    tenant.sql("INSERT INTO parent VALUES (1, 'zoë\\n(1,', x'00ff0a28'), (2, NULL, '(')")
    tenant.sql("INSERT INTO child (parent) VALUES (1), (2)")
    tenant.sql("CREATE VIEW z_view AS SELECT id, name FROM parent WHERE name <> 'ü'")
    tenant.sql("CREATE VIEW a_view AS SELECT name FROM z_view")
    tenant.sql("CREATE TRIGGER noted BEFORE INSERT ON child FOR EACH ROW SET NEW.parent = COALESCE(NEW.parent, 1)")


def change(tenant: Tenant) -> None:
    tenant.sql("DROP VIEW a_view")
    tenant.sql("DELETE FROM child")
    tenant.sql("UPDATE parent SET name = 'later'")
    tenant.sql("CREATE TABLE later (id INT)")
    tenant.sql("CREATE TRIGGER late BEFORE INSERT ON later FOR EACH ROW SET NEW.id = 7")


def state(tenant: Tenant) -> dict[str, Any]:
    tables = sorted(row[0] for row in tenant.sql("SHOW TABLES"))
    return {
        "tables": {name: tenant.sql(f"SELECT * FROM `{name}`") for name in tables},
        "triggers": sorted(row[0] for row in tenant.sql("SHOW TRIGGERS")),
    }


def scratch_left(tenant: Tenant) -> tuple[Any, ...]:
    """Schemas beside the tenant's, and rights on them."""
    schemas = [row for row in tenant.sql("SHOW DATABASES") if row[0].startswith(f"{tenant.schema}_")]
    # Rights on whatever stands beside it are those of a server of its own.
    grants = tenant.sql(f"SELECT Db FROM mysql.db WHERE User = '{tenant.name}' AND Db NOT LIKE '%|%' ESCAPE '|'")
    return tuple(one for one in (*schemas, *grants) if one[0].replace("\\", "") not in (tenant.schema, tenant.spare))


class Cut(Exception):
    """Stands for a kill: nothing after it runs."""


def bring_back(schema: SchemaRestore, manifest: Manifest, *, cut_after: str | None = None) -> None:
    definitions: Any = ()
    for step in STEPS:
        if step == "load":
            schema.load(manifest)
        elif step == "definitions":
            definitions = schema.definitions()
        elif step == "swap":
            schema.swap(manifest.id)
        elif step == "define":
            schema.define(definitions)
        else:
            getattr(schema, step)()
        if step == cut_after:
            raise Cut


def test_the_manifest_counts_and_digests_every_table(tenant: Tenant, around: Surroundings) -> None:
    fill(tenant)
    first, _ = take(around)
    assert first.content is not None
    assert {table.name: table.rows for table in first.content.tables} == {"parent": 2, "child": 2, "nothing": 0}
    assert first.content.program.startswith("Distrib ")
    again, _ = take(around, retain=False)
    assert again.content == first.content
    tenant.sql("UPDATE parent SET name = 'other' WHERE id = 1")
    other, _ = take(around, retain=False)
    assert other.content is not None
    assert first.content.differences(other.content) == ("table parent has other rows",)


@pytest.mark.parametrize("cut_after", [None, *STEPS[:-1]])
def test_a_schema_is_old_or_restored_wherever_it_was_cut_off(
    tenant: Tenant, around: Surroundings, keeper: Keeper, cut_after: str | None
) -> None:
    fill(tenant)
    wanted = state(tenant)
    manifest, _ = take(around)
    change(tenant)
    before = state(tenant)
    schema = SchemaRestore(around, keeper)
    if cut_after is not None:
        with pytest.raises(Cut):
            bring_back(schema, manifest, cut_after=cut_after)
        rows = {name: found for name, found in state(tenant)["tables"].items() if "view" not in name}
        old, new = (
            {name: found for name, found in one["tables"].items() if "view" not in name} for one in (before, wanted)
        )
        assert rows == (new if schema.swapped(manifest.id) else old)
        if not schema.swapped(manifest.id):
            assert state(tenant) == before
    bring_back(schema, manifest)
    assert state(tenant) == wanted
    assert scratch_left(tenant) == ()
    assert tenant.sql(f"SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{tenant.schema}'") == (
        (f"{tenant.name}@%",),
    )
    tenant.sql("INSERT INTO child (parent) VALUES (NULL)")
    assert tenant.sql("SELECT parent FROM child ORDER BY id DESC LIMIT 1") == ((1,),)


def test_rows_that_do_not_come_back_as_dumped_leave_the_schema_alone(
    tenant: Tenant, around: Surroundings, keeper: Keeper
) -> None:
    fill(tenant)
    manifest, _ = take(around)
    assert manifest.content is not None
    first = manifest.content.tables[0]
    tables = (first.model_copy(update={"rows": first.rows + 1}), *manifest.content.tables[1:])
    damaged = manifest.model_copy(update={"content": manifest.content.model_copy(update={"tables": tables})})
    before = state(tenant)
    schema = SchemaRestore(around, keeper)
    with pytest.raises(RunFailed, match="2 rows instead of 3"):
        schema.load(damaged)
    assert state(tenant) == before
    schema.clean()
    assert scratch_left(tenant) == ()


def test_nothing_is_swapped_in_that_is_not_proved(tenant: Tenant, around: Surroundings, keeper: Keeper) -> None:
    fill(tenant)
    before = state(tenant)
    manifest, _ = take(around)
    schema = SchemaRestore(around, keeper)
    schema.make()
    with pytest.raises(Conflict, match="is not what the scratch schema holds"):
        schema.swap(manifest.id)
    schema.load(manifest)
    proof = SchemaRestore(around, keeper, proof=True)
    assert proof.load(manifest) == manifest.content
    assert schema.loaded(manifest.id)
    with pytest.raises(Conflict):
        schema.swap("20260101T000000Z-00000000")
    assert state(tenant) == before
    proof.clean()
    schema.clean()
    assert scratch_left(tenant) == ()


def test_a_backup_and_a_restore_exclude_each_other(tenant: Tenant, around: Surroundings, keeper: Keeper) -> None:
    fill(tenant)
    schema = SchemaRestore(around, keeper)
    with schema.locked():
        assert tenant.run("run").code == 4
        with pytest.raises(Locked, match="another backup or restore"), schema.locked():
            pass
    assert tenant.run("run").code == 0


def test_the_tenants_account_alone_fills_the_scratch_schema(
    tenant: Tenant, around: Surroundings, keeper: Keeper
) -> None:
    schema = SchemaRestore(around, keeper)
    schema.make()
    neighbour = replace(
        schema.scratch, login=lambda: Login(username="nobody", password=schema.scratch.login().password)
    )
    with contextlib.suppress(Exception), neighbour.session():
        pytest.fail("another account was let in")
    with schema.scratch.session() as (session, _):
        assert session.content() == ()
    schema.clean()
