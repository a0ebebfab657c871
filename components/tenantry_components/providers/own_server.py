"""What a tenant's own database and cache servers need in OpenBao before they start for the first time.

A certificate for their names, and for the database a root password with OpenBao's connection that uses it. All of
it is made in one step, because the provisioner's token may write a tenant's secrets and not read them back: a run
that was killed halfway makes everything anew, which is safe, since the servers come after it.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry.openbao import openbao
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["OwnServer"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATH = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
_FIELDS = frozenset({"certificate", "private_key", "root_password", "encryption_key"})
_LIFETIME_DAYS = 3650


class OwnServerInputs(Inputs):
    kv_mount: str = Field(pattern=_NAME)
    path: str = Field(pattern=_PATH)
    hosts: list[str] = Field(min_length=1)
    database_mount: str = Field(pattern=_NAME)
    connection: str = Field(pattern=r"^$|" + _NAME)
    address: str
    roles: list[str]


class OwnServerProvider(UpsertProvider[OwnServerInputs]):
    model = OwnServerInputs
    identity = ("kv_mount", "path", "connection")

    def ensure(self, wanted: OwnServerInputs) -> None:
        if self.observe(wanted) is not None:
            return
        found = openbao().kv_fields(wanted.kv_mount, wanted.path)
        certificate, private_key = _certificate(wanted.hosts)
        root_password = secrets.token_hex(32)
        fields = {
            "certificate": certificate,
            "private_key": private_key,
            "root_password": root_password,
            "encryption_key": secrets.token_hex(32),
        }
        openbao().kv_write(wanted.kv_mount, wanted.path, fields, version=0 if found is None else found[1])
        if wanted.connection:
            openbao().write(
                f"{wanted.database_mount}/config/{wanted.connection}",
                {
                    "plugin_name": "mysql-database-plugin",
                    "connection_url": f"{{{{username}}}}:{{{{password}}}}@tcp({wanted.address})/",
                    "username": "root",
                    "password": root_password,
                    "tls_ca": certificate,
                    "allowed_roles": wanted.roles,
                    # The server does not run yet. The static roles' first log-in proves the connection.
                    "verify_connection": False,
                },
            )

    def observe(self, wanted: OwnServerInputs) -> Mapping[str, Any] | None:
        found = openbao().kv_fields(wanted.kv_mount, wanted.path)
        if found is None or not found[0] >= _FIELDS:
            return None
        if wanted.connection and openbao().read(f"{wanted.database_mount}/config/{wanted.connection}") is None:
            return None
        return {}

    def remove(self, wanted: OwnServerInputs) -> None:
        if wanted.connection:
            openbao().delete(f"{wanted.database_mount}/config/{wanted.connection}")
        openbao().kv_destroy(wanted.kv_mount, wanted.path)


def _certificate(hosts: Sequence[str]) -> tuple[str, str]:
    """A certificate that is its own authority, and its key, as PEM. Clients trust exactly this one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_LIFETIME_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private_key.decode()


class OwnServer(Resource, module="tenantry", name="OwnServer"):
    """Certificate, root password and at-rest key of a tenant's own servers in OpenBao's kv, made once.

    kv_mount, path: where (fields certificate, private_key, root_password, encryption_key). hosts: names that the
    servers answer to. connection: the database's name in OpenBao's database engine at `database_mount`, reached at
    `address` (host:port), for `roles`; empty: no database. Deleting it destroys the at-rest key and with it the data.
    """

    kv_mount: pulumi.Output[str]
    path: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        kv_mount: str,
        path: str,
        hosts: Sequence[str],
        database_mount: str,
        connection: str,
        address: str,
        roles: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "kv_mount": kv_mount,
            "path": path,
            "hosts": list(hosts),
            "database_mount": database_mount,
            "connection": connection,
            "address": address,
            "roles": list(roles),
        }
        super().__init__(OwnServerProvider(), resource_name, props, opts)
