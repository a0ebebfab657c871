"""A tenant's things in OpenBao: its transit key, its generated secrets, its database accounts' static roles."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from tenantry.openbao import VersionMoved, openbao
from tenantry.tenancy.errors import Conflict
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["DatabaseStaticRole", "KvSecrets", "TransitKey"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATH = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
_DAY_S = 86_400
_KEY_TYPE = "aes256-gcm96"


class TransitKeyInputs(Inputs):
    key_name: str = Field(pattern=_NAME)
    mount: str = Field(pattern=_NAME)


class TransitKeyProvider(UpsertProvider[TransitKeyInputs]):
    model = TransitKeyInputs
    identity = ("mount", "key_name")
    holds_data = True

    def ensure(self, wanted: TransitKeyInputs) -> None:
        # OpenBao keeps an existing key and its versions when it is asked to make it again.
        openbao().write(f"{wanted.mount}/keys/{wanted.key_name}", {"type": _KEY_TYPE})

    def observe(self, wanted: TransitKeyInputs) -> Mapping[str, Any] | None:
        return None if openbao().read(f"{wanted.mount}/keys/{wanted.key_name}") is None else {}

    def remove(self, wanted: TransitKeyInputs) -> None:
        path = f"{wanted.mount}/keys/{wanted.key_name}"
        if openbao().read(path) is None:
            return
        openbao().write(f"{path}/config", {"deletion_allowed": True})
        openbao().delete(path)


class TransitKey(Resource, module="tenantry", name="TransitKey"):
    """An AES-256-GCM key that never leaves OpenBao. Deleting the resource destroys the key and all it sealed:
    protect it everywhere but in test environments.

    key_name: the key. mount: the transit engine's mount.
    """

    key_name: pulumi.Output[str]
    mount: pulumi.Output[str]

    def __init__(
        self, resource_name: str, *, key_name: str, mount: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(TransitKeyProvider(), resource_name, {"key_name": key_name, "mount": mount}, opts)


class KvSecretsInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    path: str = Field(pattern=_PATH)
    generate: dict[str, int]


class KvSecretsProvider(UpsertProvider[KvSecretsInputs]):
    model = KvSecretsInputs
    identity = ("mount", "path")
    holds_data = True

    def ensure(self, wanted: KvSecretsInputs) -> None:
        # Two runs at once: the one whose check-and-set fails reads again and finds the other's values.
        retrying = Retrying(retry=retry_if_exception_type(VersionMoved), stop=stop_after_attempt(4), reraise=True)
        try:
            retrying(_generate_missing, wanted)
        except VersionMoved:
            raise Conflict(
                f"the secret {wanted.mount}/{wanted.path} was deleted, and its versions still exist",
                where=f"{wanted.mount}/{wanted.path}",
                hint="bring it back with `bao kv undelete`, or drop it for good with `bao kv metadata delete`",
            ) from None

    def observe(self, wanted: KvSecretsInputs) -> Mapping[str, Any] | None:
        found = openbao().kv_fields(wanted.mount, wanted.path)
        if found is None:
            return None
        return {"generate": {name: size for name, size in wanted.generate.items() if name in found[0]}}

    def remove(self, wanted: KvSecretsInputs) -> None:
        openbao().kv_destroy(wanted.mount, wanted.path)


def _generate_missing(wanted: KvSecretsInputs) -> None:
    found = openbao().kv_fields(wanted.mount, wanted.path)
    present, version = found if found is not None else (frozenset[str](), 0)
    missing = {name: secrets.token_hex(size) for name, size in wanted.generate.items() if name not in present}
    if found is None:
        openbao().kv_write(wanted.mount, wanted.path, missing, version=0)
    elif missing:
        openbao().kv_patch(wanted.mount, wanted.path, missing, version=version)


class KvSecrets(Resource, module="tenantry", name="KvSecrets"):
    """Random secrets made once in OpenBao's kv version 2 and never changed or read by us afterwards.

    mount, path: where. generate: field to number of random bytes, written as lowercase hex; a field that exists
    keeps its value, whatever its length. Deleting the resource removes all versions.
    """

    mount: pulumi.Output[str]
    path: pulumi.Output[str]
    generate: pulumi.Output[Mapping[str, int]]

    def __init__(
        self,
        resource_name: str,
        *,
        mount: str,
        path: str,
        generate: Mapping[str, int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"mount": mount, "path": path, "generate": dict(generate)}
        super().__init__(KvSecretsProvider(), resource_name, props, opts)


class DatabaseStaticRoleInputs(Inputs):
    mount: str = Field(pattern=_NAME)
    role: str = Field(pattern=_NAME)
    connection: str = Field(pattern=_NAME)
    username: str = Field(pattern=_NAME)
    rotation_days: int = Field(ge=1, le=366)


class DatabaseStaticRoleProvider(UpsertProvider[DatabaseStaticRoleInputs]):
    model = DatabaseStaticRoleInputs
    identity = ("mount", "role", "connection", "username")

    def ensure(self, wanted: DatabaseStaticRoleInputs) -> None:
        live = self.observe(wanted)
        if live is not None and all(getattr(wanted, name) == value for name, value in live.items()):
            return
        openbao().write(
            f"{wanted.mount}/static-roles/{wanted.role}",
            {
                "db_name": wanted.connection,
                "username": wanted.username,
                "rotation_period": wanted.rotation_days * _DAY_S,
            },
        )

    def observe(self, wanted: DatabaseStaticRoleInputs) -> Mapping[str, Any] | None:
        live = openbao().read(f"{wanted.mount}/static-roles/{wanted.role}")
        if live is None:
            return None
        return {
            "connection": live["db_name"],
            "username": live["username"],
            "rotation_days": int(live["rotation_period"]) // _DAY_S,
        }

    def remove(self, wanted: DatabaseStaticRoleInputs) -> None:
        openbao().delete(f"{wanted.mount}/static-roles/{wanted.role}")


class DatabaseStaticRole(Resource, module="tenantry", name="DatabaseStaticRole"):
    """An existing database account whose password OpenBao owns from now on: set at once, rotated on time.

    mount: the database engine. role: name under `static-creds/`. connection: the server in the engine.
    username: the account. rotation_days: days between rotations. Deleting it leaves the account alone.
    """

    mount: pulumi.Output[str]
    role: pulumi.Output[str]
    connection: pulumi.Output[str]
    username: pulumi.Output[str]
    rotation_days: pulumi.Output[int]

    def __init__(
        self,
        resource_name: str,
        *,
        mount: str,
        role: str,
        connection: str,
        username: str,
        rotation_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "mount": mount,
            "role": role,
            "connection": connection,
            "username": username,
            "rotation_days": rotation_days,
        }
        super().__init__(DatabaseStaticRoleProvider(), resource_name, props, opts)
