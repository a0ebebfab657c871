"""A tenant's things on the shared RabbitMQ: its virtual host with limits, and its user on that host alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry_components.providers.credential import drop_login, tenant_login
from tenantry_components.providers.provider import Inputs, UpsertProvider
from tenantry_components.providers.rabbitmq_server import RabbitMqServer, server

__all__ = ["User", "Vhost"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATH = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
_EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class _OnServer(Inputs):
    management_url: str = Field(pattern=r"^https://")
    vhost: str = Field(pattern=_NAME)
    kv_mount: str = Field(pattern=_NAME)

    @property
    def server(self) -> RabbitMqServer:
        return server(url=self.management_url, kv_mount=self.kv_mount)


class VhostInputs(_OnServer):
    max_queues: int = Field(ge=0)
    max_connections: int = Field(ge=0)


class VhostProvider(UpsertProvider[VhostInputs]):
    model = VhostInputs
    identity = ("vhost",)

    def ensure(self, wanted: VhostInputs) -> None:
        rabbit = wanted.server
        if rabbit.get("vhosts", wanted.vhost) is None:
            rabbit.put("vhosts", wanted.vhost, body={"description": "tenantry"})
        rabbit.put("vhost-limits", wanted.vhost, "max-queues", body={"value": wanted.max_queues})
        rabbit.put("vhost-limits", wanted.vhost, "max-connections", body={"value": wanted.max_connections})

    def observe(self, wanted: VhostInputs) -> Mapping[str, Any] | None:
        if wanted.server.get("vhosts", wanted.vhost) is None:
            return None
        answer = wanted.server.get("vhost-limits", wanted.vhost) or []
        limits: Mapping[str, int] = answer[0]["value"] if answer else {}
        return {"max_queues": limits.get("max-queues", -1), "max_connections": limits.get("max-connections", -1)}

    def remove(self, wanted: VhostInputs) -> None:
        wanted.server.delete("vhosts", wanted.vhost)


class Vhost(Resource, module="tenantry", name="Vhost"):
    """A virtual host with limits. Deleting it drops its queues with what waits in them.

    management_url: https address of the management API. vhost: its name. max_queues, max_connections: 0 allows
    none. kv_mount: where OpenBao keeps RabbitMQ's admin login (`cell/rabbitmq`).
    """

    management_url: pulumi.Output[str]
    vhost: pulumi.Output[str]
    max_queues: pulumi.Output[int]
    max_connections: pulumi.Output[int]

    def __init__(
        self,
        resource_name: str,
        *,
        management_url: str,
        vhost: str,
        max_queues: int,
        max_connections: int,
        kv_mount: str = "kv",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "management_url": management_url,
            "vhost": vhost,
            "max_queues": max_queues,
            "max_connections": max_connections,
            "kv_mount": kv_mount,
        }
        super().__init__(VhostProvider(), resource_name, props, opts)


class UserInputs(_OnServer):
    username: str = Field(pattern=_NAME)
    kv_path: str = Field(pattern=_PATH)
    permissions: str = Field(pattern="^exact$")


class UserProvider(UpsertProvider[UserInputs]):
    model = UserInputs
    identity = ("username",)

    def ensure(self, wanted: UserInputs) -> None:
        rabbit = wanted.server
        login = tenant_login(wanted.kv_mount, _path(wanted), wanted.username)
        rabbit.put("users", wanted.username, body={"password": login.password, "tags": ""})
        rabbit.put("permissions", wanted.vhost, wanted.username, body=_EVERYTHING)
        for grant in rabbit.get("users", wanted.username, "permissions") or []:
            if grant["vhost"] != wanted.vhost:
                rabbit.delete("permissions", grant["vhost"], wanted.username)

    def observe(self, wanted: UserInputs) -> Mapping[str, Any] | None:
        user = wanted.server.get("users", wanted.username)
        if user is None:
            return None
        grants = wanted.server.get("users", wanted.username, "permissions") or []
        expected = [{"user": wanted.username, "vhost": wanted.vhost, **_EVERYTHING}]
        return {"permissions": "exact" if grants == expected and not any(user["tags"]) else "differ"}

    def remove(self, wanted: UserInputs) -> None:
        wanted.server.delete("users", wanted.username)
        drop_login(wanted.kv_mount, _path(wanted))


def _path(wanted: UserInputs) -> str:
    return f"{wanted.kv_path}/messaging"


class User(Resource, module="tenantry", name="MessagingUser"):
    """A user with all rights on one virtual host and none elsewhere, without management access.

    Its password is made once and kept in OpenBao at `<kv_path>/messaging` (fields username, password).
    management_url, kv_mount: see `Vhost`. kv_path: the tenant's folder under the mount.
    """

    management_url: pulumi.Output[str]
    username: pulumi.Output[str]
    vhost: pulumi.Output[str]
    kv_path: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        management_url: str,
        username: str,
        vhost: str,
        kv_mount: str,
        kv_path: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "management_url": management_url,
            "username": username,
            "vhost": vhost,
            "permissions": "exact",
            "kv_mount": kv_mount,
            "kv_path": kv_path,
        }
        super().__init__(UserProvider(), resource_name, props, opts)
