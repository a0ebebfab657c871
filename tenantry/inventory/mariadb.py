"""The shared MariaDB server, searched by its own tables: schemas, what is in them, accounts, grants, events."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import pymysql

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.inventory.openbao import OpenBaoReader
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["search_mariadb"]

SYSTEM = "mariadb"
_ROLE = "tenantry-provisioner"
_QUERIES: Sequence[tuple[str, str]] = (
    ("schema", "SHOW DATABASES"),
    ("account", "SELECT CONCAT(User, '@', Host) FROM mysql.global_priv"),
    ("grant on a schema", "SELECT CONCAT(User, '@', Host, ' on ', Db) FROM mysql.db"),
    ("grant on a table", "SELECT CONCAT(User, '@', Host, ' on ', Db, '.', Table_name) FROM mysql.tables_priv"),
    ("grant on a column", "SELECT CONCAT(User, '@', Host, ' on ', Db, '.', Table_name) FROM mysql.columns_priv"),
    ("grant on a routine", "SELECT CONCAT(User, '@', Host, ' on ', Db, '.', Routine_name) FROM mysql.procs_priv"),
    ("role", "SELECT CONCAT(User, '@', Host, ' has ', Role) FROM mysql.roles_mapping"),
    ("proxy", "SELECT CONCAT(User, '@', Host, ' for ', Proxied_user) FROM mysql.proxies_priv"),
    ("event", "SELECT CONCAT(db, '.', name, ' by ', definer) FROM mysql.event"),
    ("routine", "SELECT CONCAT(db, '.', name, ' by ', definer) FROM mysql.proc"),
    ("server link", "SELECT CONCAT(Server_name, ' to ', Db) FROM mysql.servers"),
    ("table's statistics", "SELECT CONCAT(database_name, '.', table_name) FROM mysql.innodb_table_stats"),
)


def search_mariadb(subject: Subject, cell: Cell, reader: OpenBaoReader) -> Searched:
    server = cell.spec.database
    where = f"{server.host}:{server.port}"
    login = reader.read(f"{cell.spec.openbao.database_mount}/static-creds/{_ROLE}")
    if login is None:
        raise DependencyUnavailable("OpenBao has no login to MariaDB for the inventory", where=_ROLE)
    looked_at, findings = 0, []
    try:
        with (
            pymysql.connect(
                host=server.host,
                port=server.port,
                user=str(login["username"]),
                password=str(login["password"]),
                ssl=ssl.create_default_context(cadata=cell.spec.ca_bundle or None),
                connect_timeout=5,
                read_timeout=60,
                charset="utf8mb4",
            ) as connection,
            connection.cursor() as cursor,
        ):
            for kind, query in _QUERIES:
                cursor.execute(query)
                for (value,) in cursor.fetchall():
                    looked_at += 1
                    name = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    if subject.marks(name):
                        findings.append(Finding(system=SYSTEM, kind=kind, name=name))
    except (pymysql.MySQLError, OSError) as error:
        code = error.args[0] if error.args else ""
        raise DependencyUnavailable(
            f"the inventory cannot search MariaDB at {where} ({type(error).__name__} {code})",
            where=where,
            hint="is it running? `tenantry cell up` gives the provisioner its rights",
        ) from None
    return Searched(system=SYSTEM, looked_at=looked_at, findings=tuple(findings))
