"""A tenant's things on the shared MariaDB server: its schema, and its accounts with rights on that schema alone.

The server itself backs the isolation: `tenantry-provisioner` may grant on schemas named `t_…` only, by a
pattern whose underscore is escaped, so a forgotten escape here is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pymysql
from pulumi.dynamic import Resource
from pydantic import Field
from pymysql.constants import ER

from tenantry.openbao import openbao
from tenantry.tenancy.naming import role_of_account
from tenantry_components.providers.mariadb_server import (
    DROP_S,
    PROVISIONER,
    MariaDbServer,
    Session,
    escape_pattern,
    quote,
    server,
)
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["TENANT_PRIVILEGES", "Account", "Schema"]

_CHARSET = "utf8mb4"
_COLLATION = "utf8mb4_unicode_ci"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

TENANT_PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "CREATE VIEW",
    "SHOW VIEW",
    "TRIGGER",
)
"""Data, and the definitions that an application's migrations make. No GRANT OPTION, and nothing that runs outside
the account's own sessions (EVENT) or with another's rights."""

_GRANT = re.compile(r"^GRANT (?P<privileges>.+?) ON (?P<target>.+?) TO `")
_CAP = re.compile(r" MAX_USER_CONNECTIONS (\d+)")


class _OnServer(Inputs):
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    schema_name: str = Field(alias="schema", pattern=_NAME, max_length=64)
    kv_mount: str = Field(pattern=_NAME)
    database_mount: str = Field(pattern=_NAME)
    provisioner: str = Field(default=PROVISIONER, pattern=_NAME)

    @property
    def server(self) -> MariaDbServer:
        return self.server_for()

    def server_for(self, **patience: int) -> MariaDbServer:
        return server(
            host=self.host,
            port=self.port,
            database_mount=self.database_mount,
            kv_mount=self.kv_mount,
            role=self.provisioner,
            **patience,
        )


class SchemaInputs(_OnServer):
    pass


class SchemaProvider(UpsertProvider[SchemaInputs]):
    """The address is no part of the identity: a server that moves must not cost its tenants their data."""

    model = SchemaInputs
    identity = ("schema",)
    holds_data = True

    def ensure(self, wanted: SchemaInputs) -> None:
        name = quote(wanted.schema_name)
        with wanted.server.session() as session:
            live = _collation(session, wanted.schema_name)
            if live is None:
                session.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET {_CHARSET} COLLATE {_COLLATION}")
            elif live != _COLLATION:
                session.execute(f"ALTER DATABASE {name} CHARACTER SET {_CHARSET} COLLATE {_COLLATION}")

    def observe(self, wanted: SchemaInputs) -> Mapping[str, Any] | None:
        with wanted.server.session() as session:
            return None if _collation(session, wanted.schema_name) is None else {}

    def remove(self, wanted: SchemaInputs) -> None:
        if self.observe(wanted) is None:
            return
        with wanted.server_for(patience_s=DROP_S).session() as session:
            session.execute(f"DROP DATABASE IF EXISTS {quote(wanted.schema_name)}")


def _collation(session: Session, schema: str) -> str | None:
    rows = session.execute(
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s", (schema,)
    )
    return str(rows[0][0]) if rows else None


class Schema(Resource, module="tenantry", name="Schema"):
    """A utf8mb4 database. Deleting the resource drops it with its data: protect it.

    host, port: the server. schema: its name. kv_mount, database_mount: where OpenBao keeps the provisioner's
    credentials. provisioner: their static role, None: the shared server's. Needs the cell stack.
    """

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    schema: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        host: pulumi.Input[str],
        port: int,
        schema: str,
        kv_mount: str = "kv",
        database_mount: str = "database",
        provisioner: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"host": host, "port": port, "schema": schema, "kv_mount": kv_mount, "database_mount": database_mount}
        props |= _named(provisioner)
        super().__init__(SchemaProvider(), resource_name, props, opts)


def _named(provisioner: str | None) -> dict[str, Any]:
    """An input only where it says something: what stands in states without it stays as it is."""
    return {} if provisioner is None else {"provisioner": provisioner}


class AccountInputs(_OnServer):
    username: str = Field(pattern=_NAME, max_length=80)
    max_connections: int = Field(ge=1)
    grants: str = Field(pattern="^exact$")


class AccountProvider(UpsertProvider[AccountInputs]):
    """A change of `schema` moves the grants; the account and its password stay."""

    model = AccountInputs
    identity = ("username",)

    def ensure(self, wanted: AccountInputs) -> None:
        account = f"{_text(wanted.username)}@'%'"
        with wanted.server.session() as session:
            lines = _grant_lines(session, account)
            if lines is None:
                # No password opens it until OpenBao sets the first one; IF NOT EXISTS: another run may be faster.
                session.execute(
                    f"CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING 'invalid' "
                    f"REQUIRE SSL WITH MAX_USER_CONNECTIONS {wanted.max_connections}"
                )
                lines = _grant_lines(session, account) or ()
                _ask_for_password(wanted)
            if _login_terms(lines) != (True, wanted.max_connections):
                session.execute(f"ALTER USER {account} REQUIRE SSL WITH MAX_USER_CONNECTIONS {wanted.max_connections}")
            found = _grants(lines)
            expected = _expected(wanted)
            if found == expected:
                return
            if not _within(found, expected):
                session.execute(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}")
            pattern = quote(escape_pattern(wanted.schema_name))
            session.execute(f"GRANT {', '.join(TENANT_PRIVILEGES)} ON {pattern}.* TO {account}")

    def observe(self, wanted: AccountInputs) -> Mapping[str, Any] | None:
        with wanted.server.session() as session:
            lines = _grant_lines(session, f"{_text(wanted.username)}@'%'")
        if lines is None:
            return None
        tls, cap = _login_terms(lines)
        exact = tls and _grants(lines) == _expected(wanted)
        return {"max_connections": cap, "grants": "exact" if exact else "differ"}

    def remove(self, wanted: AccountInputs) -> None:
        account = f"{_text(wanted.username)}@'%'"
        with wanted.server.session() as session:
            session.execute(f"DROP USER IF EXISTS {account}")
            _end_sessions(session, wanted.username)


def _ask_for_password(wanted: AccountInputs) -> None:
    """Of an account that was dropped behind our back OpenBao still has the static role, and thinks its password right.
    On a first run there is no role yet."""
    role = role_of_account(wanted.username)
    if openbao().read(f"{wanted.database_mount}/static-roles/{role}") is not None:
        openbao().write(f"{wanted.database_mount}/rotate-role/{role}")


def _end_sessions(session: Session, username: str) -> None:
    """Sessions outlive their account otherwise. RDS grants nobody KILL for others, and has a procedure for it."""
    try:
        session.execute(f"KILL USER {_text(username)}@'%'")
    except pymysql.OperationalError as error:
        if error.args[0] not in {ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.KILL_DENIED_ERROR}:
            raise
        _end_each_session(session, username)


def _end_each_session(session: Session, username: str) -> None:
    for (number,) in session.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (username,)):
        try:
            session.execute("CALL mysql.rds_kill(%s)", (number,))
        except pymysql.MySQLError as error:
            if error.args[0] != ER.NO_SUCH_THREAD:  # it has ended by itself
                raise


def _text(value: str) -> str:
    """A string literal; names were validated to hold neither quotes nor backslashes, escape all the same."""
    return "'" + pymysql.converters.escape_string(value) + "'"


def _grant_lines(session: Session, account: str) -> tuple[str, ...] | None:
    """What SHOW GRANTS says, None when there is no such account. The first line holds the password's hash."""
    try:
        return tuple(str(row[0]) for row in session.execute(f"SHOW GRANTS FOR {account}"))
    except pymysql.OperationalError as error:
        if error.args[0] == ER.NONEXISTING_GRANT:
            return None
        raise


def _login_terms(lines: tuple[str, ...]) -> tuple[bool, int]:
    """Whether TLS is required, and the cap on connections (0: none)."""
    head = lines[0] if lines else ""
    cap = _CAP.search(head)
    return " REQUIRE SSL" in head, int(cap[1]) if cap else 0


def _grants(lines: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Privileges by target. A line of another form (a role) counts as a target of its own: it is too much."""
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        grant = _GRANT.match(line)
        if grant is None:
            found[line] = frozenset()
            continue
        privileges = frozenset(grant["privileges"].split(", ")) - {"USAGE"}
        if line.endswith("WITH GRANT OPTION"):
            privileges |= {"GRANT OPTION"}
        if privileges:
            found[grant["target"]] = privileges
    return found


def _expected(wanted: AccountInputs) -> dict[str, frozenset[str]]:
    return {f"{quote(escape_pattern(wanted.schema_name))}.*": frozenset(TENANT_PRIVILEGES)}


def _within(found: dict[str, frozenset[str]], expected: dict[str, frozenset[str]]) -> bool:
    return all(
        privileges <= expected.get(target, frozenset()) and target in expected for target, privileges in found.items()
    )


class Account(Resource, module="tenantry", name="Account"):
    """An account with a tenant's rights on one schema and nothing else; TLS only, capped connections.

    It has no usable password until a `DatabaseStaticRole` gives it one, and its password is never touched here.
    host, port: the server. username: the account, from any address. schema: what it may use; need not exist yet.
    max_connections: sessions at once. kv_mount, database_mount, provisioner: see `Schema`.
    """

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    username: pulumi.Output[str]
    schema: pulumi.Output[str]
    max_connections: pulumi.Output[int]

    def __init__(
        self,
        resource_name: str,
        *,
        host: pulumi.Input[str],
        port: int,
        username: str,
        schema: str,
        max_connections: int,
        kv_mount: str = "kv",
        database_mount: str = "database",
        provisioner: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "host": host,
            "port": port,
            "username": username,
            "schema": schema,
            "max_connections": max_connections,
            "grants": "exact",
            "kv_mount": kv_mount,
            "database_mount": database_mount,
        } | _named(provisioner)
        super().__init__(AccountProvider(), resource_name, props, opts)
