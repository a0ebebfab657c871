"""The cell's MariaDB in OpenBao's database engine: adopted from its bootstrap login, which is rotated at once.

Steps, each of which may be the last one of a killed run: the connection is written with the bootstrap login; its
password is rotated (OpenBao keeps a write-ahead record of that); the bootstrap file is deleted. A bootstrap login
that the server still takes was not rotated yet; one that it refuses was, and only its file is left to delete.

After that nobody but OpenBao can log in as the administrator. The account `tenantry-provisioner`, as which the
providers work, is made and corrected through OpenBao too: a database role's creation statements run as the
administrator. The provisioner may create accounts, and grant tenants' privileges on `t\\_%` schemas alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pymysql
from pulumi.dynamic import Resource
from pydantic import Field
from pymysql.constants import ER

from tenantry.openbao import openbao
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput
from tenantry_components.providers.bootstrap import Bootstrap, discard_bootstrap, missing_login, read_bootstrap
from tenantry_components.providers.mariadb import TENANT_PRIVILEGES
from tenantry_components.providers.mariadb_server import COPIER, OBSERVER, PROVISIONER, connect, mariadb_problem
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["DatabaseConnection", "observer_statements", "provisioner_statements"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_SETUP_ROLE = "tenantry-setup"
_ALLOWED_ROLES = ("tenantry-*", "t-*")


def provisioner_statements(username: str, *rights: str) -> tuple[str, ...]:
    """What makes and corrects the provisioner's account. username: its name. rights: what lets it make accounts and
    end their sessions, which is not the same on every server."""
    account = f"'{username}'@'%'"
    return (
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING 'invalid' REQUIRE SSL",
        f"ALTER USER {account} REQUIRE SSL",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}",
        *(f"GRANT {right} TO {account}" for right in rights),
        # SHOW GRANTS for others needs it.
        f"GRANT SELECT ON `mysql`.* TO {account}",
        f"GRANT {', '.join(TENANT_PRIVILEGES)} ON `t\\_%`.* TO {account} WITH GRANT OPTION",
    )


def observer_statements() -> tuple[str, ...]:
    """What makes and corrects the observer's account: it counts rows of tenants, a few at a time and never for long."""
    account = f"'{OBSERVER}'@'%'"
    terms = "REQUIRE SSL WITH MAX_USER_CONNECTIONS 8 MAX_STATEMENT_TIME 5"
    return (
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING 'invalid' {terms}",
        f"ALTER USER {account} {terms}",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}",
        f"GRANT SELECT ON `t\\_%`.* TO {account}",
    )


def copier_statements() -> tuple[str, ...]:
    """What makes and corrects the account that copies the server: it reads files and logs, no table by SQL."""
    account = f"'{COPIER}'@'%'"
    return (
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING 'invalid' REQUIRE SSL",
        f"ALTER USER {account} REQUIRE SSL",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}",
        f"GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICATION SLAVE ON *.* TO {account}",
    )


# CONNECTION ADMIN ends the sessions of dropped accounts, and lets us in when tenants fill the server.
# SHOW DATABASES lets the inventory see a schema of any name.
_PROVISIONER_STATEMENTS = (
    *provisioner_statements(PROVISIONER, "CREATE USER, CONNECTION ADMIN, SHOW DATABASES ON *.*"),
    *observer_statements(),
)


class DatabaseConnectionInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    connection: str = Field(pattern=_NAME)
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    authority: str
    provisioner: tuple[str, ...]


class DatabaseConnectionProvider(UpsertProvider[DatabaseConnectionInputs]):
    model = DatabaseConnectionInputs
    identity = ("mount", "connection")

    def ensure(self, wanted: DatabaseConnectionInputs) -> None:
        bootstrap = read_bootstrap("mariadb")
        if bootstrap is not None and _opens(bootstrap, wanted):
            _configure(wanted, bootstrap)
            openbao().write(f"{wanted.mount}/rotate-root/{wanted.connection}")
        elif _config(wanted) is None:
            raise missing_login("mariadb", f"{wanted.mount}/config/{wanted.connection}")
        else:
            _configure(wanted, None)
        discard_bootstrap("mariadb")
        _run_as_administrator(wanted, wanted.provisioner)

    def observe(self, wanted: DatabaseConnectionInputs) -> Mapping[str, Any] | None:
        config = _config(wanted)
        if config is None:
            return None
        url = config["connection_details"].get("connection_url")
        return {} if url == _url(wanted) else {"host": "", "port": 0}

    def remove(self, wanted: DatabaseConnectionInputs) -> None:
        """Nothing: OpenBao is the only one who knows the administrator's password."""


def _config(wanted: DatabaseConnectionInputs) -> dict[str, Any] | None:
    return openbao().read(f"{wanted.mount}/config/{wanted.connection}")


def _url(wanted: DatabaseConnectionInputs) -> str:
    tls = "" if wanted.authority else "?tls=true"  # with an authority the plugin turns TLS on by itself
    return "{{username}}:{{password}}@tcp(" + f"{wanted.host}:{wanted.port})/{tls}"


def _opens(bootstrap: Bootstrap, wanted: DatabaseConnectionInputs) -> bool:
    try:
        session = connect(host=wanted.host, port=wanted.port, login=bootstrap.login())
    except (pymysql.MySQLError, OSError) as error:
        if isinstance(error, pymysql.OperationalError) and error.args[0] == ER.ACCESS_DENIED_ERROR:
            return False
        raise mariadb_problem(f"MariaDB at {wanted.host}:{wanted.port}", error) from None
    session.connection.close()
    return True


def _configure(wanted: DatabaseConnectionInputs, bootstrap: Bootstrap | None) -> None:
    """Write the connection; OpenBao tries it. Without a bootstrap login the one that it has stays."""
    settings: dict[str, Any] = {
        "plugin_name": "mysql-database-plugin",
        "connection_url": _url(wanted),
        "allowed_roles": list(_ALLOWED_ROLES),
        "tls_ca": wanted.authority,
        "verify_connection": True,
        "max_open_connections": 4,
        "max_idle_connections": 1,
        "max_connection_lifetime": "60s",
    }
    if bootstrap is not None:
        settings["username"] = bootstrap.username
        settings["password"] = bootstrap.password.get_secret_value()
    try:
        openbao().write(f"{wanted.mount}/config/{wanted.connection}", settings)
    except InvalidInput:
        raise DependencyUnavailable(
            f"OpenBao cannot log in to MariaDB at {wanted.host}:{wanted.port} with what it holds",
            where=f"{wanted.mount}/config/{wanted.connection}",
            hint="is MariaDB up and reachable from OpenBao, with a certificate of the cell's authority? "
            "If its administrator was changed by hand, give a new login in $TENANTRY_BOOTSTRAP/mariadb.json",
        ) from None


def _run_as_administrator(wanted: DatabaseConnectionInputs, statements: tuple[str, ...]) -> None:
    role = f"{wanted.mount}/roles/{_SETUP_ROLE}"
    definition = {
        "db_name": wanted.connection,
        "creation_statements": list(statements),
        # The lease stands for no account of its own; ending it must not fail on one.
        "revocation_statements": ["DO 0"],
        "default_ttl": "60s",
        "max_ttl": "60s",
    }
    openbao().write(role, definition)
    try:
        openbao().read(f"{wanted.mount}/creds/{_SETUP_ROLE}")
    finally:
        openbao().delete(role)


class DatabaseConnection(Resource, module="tenantry", name="DatabaseConnection"):
    """A MariaDB server under OpenBao's rule, with its provisioner account. Deleting the resource leaves it so.

    mount, connection: the database engine and the server's name in it. host, port: the server, as OpenBao and we
    reach it. authority: PEM that signed its certificate, "" for the system's trust store. copied: whether it gets the
    account for physical backups.
    """

    mount: pulumi.Output[str]
    connection: pulumi.Output[str]
    host: pulumi.Output[str]
    port: pulumi.Output[int]

    def __init__(
        self,
        resource_name: str,
        *,
        mount: str,
        connection: str,
        host: str,
        port: int,
        authority: str,
        copied: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "mount": mount,
            "connection": connection,
            "host": host,
            "port": port,
            "authority": authority,
            # An input, so that a new version's privileges are a difference and get applied.
            "provisioner": [*_PROVISIONER_STATEMENTS, *(copier_statements() if copied else ())],
        }
        super().__init__(DatabaseConnectionProvider(), resource_name, props, opts)
