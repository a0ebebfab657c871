"""A MariaDB of Amazon RDS in OpenBao's database engine.

RDS keeps and rotates the master's password itself, so OpenBao gets an administrator of its own there,
`tenantry-openbao`, which may make accounts and nothing else. Its password is made here, handed to OpenBao and
rotated by it at once. Steps, each of which may be the last one of a killed run, and all of which the next run
repeats: the provisioner's account; OpenBao's account with a new password; the connection; its rotation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pymysql
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry.openbao import openbao
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput
from tenantry_components.providers.aws_account import master_login
from tenantry_components.providers.credential import PASSWORD_BYTES
from tenantry_components.providers.database_connection import observer_statements, provisioner_statements
from tenantry_components.providers.mariadb_server import Session, connect, mariadb_problem
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["OPENBAO_ACCOUNT", "RdsConnection", "RdsConnectionProvider"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
OPENBAO_ACCOUNT = "tenantry-openbao"
# RDS grants nobody CONNECTION ADMIN; it has a procedure that ends a session, found by PROCESS.
_RIGHTS = ("CREATE USER, PROCESS, SHOW DATABASES ON *.*", "EXECUTE ON PROCEDURE mysql.rds_kill")


class RdsConnectionInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    connection: str = Field(pattern=_NAME)
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    secret: str = Field(pattern=r"^arn:aws:secretsmanager:")
    region: str
    authority: str
    roles: tuple[str, ...]
    provisioner: tuple[str, ...]


class RdsConnectionProvider(UpsertProvider[RdsConnectionInputs]):
    model = RdsConnectionInputs
    identity = ("mount", "connection")

    def ensure(self, wanted: RdsConnectionInputs) -> None:
        login = master_login(wanted.secret, region=wanted.region, authority=wanted.authority)
        try:
            session = connect(host=wanted.host, port=wanted.port, login=login)
            try:
                for statement in wanted.provisioner:
                    session.execute(statement)
                password = _openbao_account(session)
            finally:
                session.connection.close()
        except (pymysql.MySQLError, OSError) as error:
            raise mariadb_problem(f"MariaDB at {wanted.host}:{wanted.port}", error) from None
        _configure(wanted, password)
        openbao().write(f"{wanted.mount}/rotate-root/{wanted.connection}")

    def observe(self, wanted: RdsConnectionInputs) -> Mapping[str, Any] | None:
        config = openbao().read(f"{wanted.mount}/config/{wanted.connection}")
        if config is None:
            return None
        found = config["connection_details"]
        ours = (found.get("connection_url"), found.get("username")) == (_url(wanted), OPENBAO_ACCOUNT)
        return {} if ours else {"host": "", "port": 0}

    def remove(self, wanted: RdsConnectionInputs) -> None:
        openbao().delete(f"{wanted.mount}/config/{wanted.connection}")


def _openbao_account(session: Session) -> str:
    """OpenBao's account with the one right that it needs; its new password."""
    password = secrets.token_hex(PASSWORD_BYTES)
    account = f"'{OPENBAO_ACCOUNT}'@'%'"
    session.execute(
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY %s REQUIRE SSL".replace("'%'", "'%%'"), (password,)
    )
    session.execute(f"ALTER USER {account} IDENTIFIED BY %s REQUIRE SSL".replace("'%'", "'%%'"), (password,))
    session.execute(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}")
    session.execute(f"GRANT CREATE USER ON *.* TO {account}")
    return password


def _url(wanted: RdsConnectionInputs) -> str:
    tls = "" if wanted.authority else "?tls=true"  # with an authority the plugin turns TLS on by itself
    return "{{username}}:{{password}}@tcp(" + f"{wanted.host}:{wanted.port})/{tls}"


def _configure(wanted: RdsConnectionInputs, password: str) -> None:
    settings = {
        "plugin_name": "mysql-database-plugin",
        "connection_url": _url(wanted),
        "allowed_roles": list(wanted.roles),
        "tls_ca": wanted.authority,
        "username": OPENBAO_ACCOUNT,
        "password": password,
        "verify_connection": True,
        "max_open_connections": 4,
        "max_idle_connections": 1,
        "max_connection_lifetime": "60s",
    }
    try:
        openbao().write(f"{wanted.mount}/config/{wanted.connection}", settings)
    except InvalidInput:
        raise DependencyUnavailable(
            f"OpenBao cannot log in to MariaDB at {wanted.host}:{wanted.port}",
            where=f"{wanted.mount}/config/{wanted.connection}",
            hint="does the database's security group let the cluster in, and does the cell file's caBundle hold the "
            "authority of RDS?",
        ) from None


class RdsConnection(Resource, module="tenantry", name="RdsConnection"):
    """An RDS instance under OpenBao's rule, with its provisioner account. Deleting it makes OpenBao forget the server.

    mount, connection: the database engine and the server's name in it. host, port: the server. secret: ARN of the
    master's login in Secrets Manager of `region`. authority: PEM that signed its certificate. roles: OpenBao's roles
    that may use the connection. provisioner: name of the account as which the providers work there. observed: whether
    it is the cell's shared server, on which the observer counts what waits.
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
        host: pulumi.Input[str],
        port: int,
        secret: pulumi.Input[str],
        region: str,
        authority: str,
        roles: Sequence[str],
        provisioner: str,
        observed: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "mount": mount,
            "connection": connection,
            "host": host,
            "port": port,
            "secret": secret,
            "region": region,
            "authority": authority,
            "roles": list(roles),
            # An input, so that a new version's privileges are a difference and get applied.
            "provisioner": [
                *provisioner_statements(provisioner, *_RIGHTS),
                *(observer_statements() if observed else ()),
            ],
        }
        super().__init__(RdsConnectionProvider(), resource_name, props, opts)
