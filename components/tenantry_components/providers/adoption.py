"""Taking over the admin logins of RabbitMQ and Redis: a new password that only OpenBao knows.

Steps, each of which may be the last one of a killed run, after which the next run ends in the same place:
1. the new password goes to kv `cell/<part>` as `pending`, with check-and-set;
2. the server gets it (nothing is lost: it is in kv);
3. the server makes it durable;
4. kv's `pending` becomes `password`;
5. the bootstrap file is deleted.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import pulumi
import redis.exceptions
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry.openbao import openbao
from tenantry.tenancy.errors import RunFailed
from tenantry_components.providers.bootstrap import discard_bootstrap, missing_login, read_bootstrap
from tenantry_components.providers.credential import PASSWORD_BYTES, Login, authority
from tenantry_components.providers.provider import Inputs, UpsertProvider
from tenantry_components.providers.rabbitmq_server import Management
from tenantry_components.providers.redis_server import connect, redis_problem

__all__ = ["AdoptedRabbitMq", "AdoptedRedis"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class _PartInputs(Inputs):
    """A part whose admin login is adopted."""

    kv_mount: str = Field(pattern=_NAME)

    @property
    @abstractmethod
    def part(self) -> str:
        """Name of the bootstrap file and of the secret under `cell/`."""

    @abstractmethod
    def opens(self, login: Login) -> bool:
        """Whether the server takes this login. Raises DependencyUnavailable when it cannot be asked."""

    @abstractmethod
    def change(self, login: Login, password: str) -> None:
        """Log in and give the account a new password."""

    @abstractmethod
    def settle(self, login: Login) -> None:
        """Make the account's present password survive the server's restart."""


class _AdoptionProvider(UpsertProvider[_PartInputs]):
    identity = ("kv_mount",)

    def ensure(self, wanted: _PartInputs) -> None:
        _adopt(wanted)

    def observe(self, wanted: _PartInputs) -> Mapping[str, Any] | None:
        found = openbao().kv_fields(wanted.kv_mount, f"cell/{wanted.part}")
        return {} if found is not None and "password" in found[0] and "pending" not in found[0] else None

    def remove(self, wanted: _PartInputs) -> None:
        """Nothing: the secret is the only copy of the password, and the server is still there."""


def _adopt(part: _PartInputs) -> None:
    held = f"cell/{part.part}"
    pem = authority(part.kv_mount)
    bootstrap = read_bootstrap(part.part)
    found = openbao().kv_read(part.kv_mount, held)
    fields, version = found or ({}, 0)
    usable = [] if bootstrap is None else [bootstrap.login()]
    if "password" in fields:
        usable.append(Login(username=fields["username"], password=fields["password"], authority=pem))
    if "pending" not in fields and not ("password" in fields and part.opens(usable[-1])):
        opened = next((login for login in usable if part.opens(login)), None)
        if opened is None:
            raise missing_login(part.part, f"{part.kv_mount}/{held}")
        fields = {**fields, "username": opened.username, "pending": secrets.token_hex(PASSWORD_BYTES)}
        openbao().kv_write(part.kv_mount, held, fields, version=version)
        version += 1
    if "pending" in fields:
        pending = Login(username=fields["username"], password=fields["pending"], authority=pem)
        if not part.opens(pending):
            opened = next((login for login in usable if part.opens(login)), None)
            if opened is None:
                raise missing_login(part.part, f"{part.kv_mount}/{held}")
            part.change(opened, pending.password)
        part.settle(pending)
        final = {"username": pending.username, "password": pending.password}
        openbao().kv_write(part.kv_mount, held, final, version=version)
    discard_bootstrap(part.part)


class AdoptedRabbitMqInputs(_PartInputs):
    management_url: str = Field(pattern=r"^https://")

    @property
    def part(self) -> str:
        return "rabbitmq"

    def opens(self, login: Login) -> bool:
        status, _ = Management(url=self.management_url, login=login).request("GET", "whoami")
        return status == 200

    def change(self, login: Login, password: str) -> None:
        body = {"password": password, "tags": "administrator"}
        status, _ = Management(url=self.management_url, login=login).request("PUT", "users", login.username, body=body)
        if status >= 300:
            raise RunFailed(
                f"RabbitMQ at {self.management_url} answered {status} to the change of {login.username}'s password",
                where=self.management_url,
                hint="the account needs the tag administrator",
            )

    def settle(self, login: Login) -> None:
        """RabbitMQ has written the user to disk when it answers."""


class AdoptedRabbitMqProvider(_AdoptionProvider):
    model = AdoptedRabbitMqInputs


class AdoptedRabbitMq(Resource, module="tenantry", name="AdoptedRabbitMq"):
    """RabbitMQ's admin login, in OpenBao at `<kv_mount>/cell/rabbitmq`. Deleting the resource leaves it there.

    management_url: https address of the management API.
    """

    management_url: pulumi.Output[str]
    kv_mount: pulumi.Output[str]

    def __init__(
        self, resource_name: str, *, management_url: str, kv_mount: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {"management_url": management_url, "kv_mount": kv_mount}
        super().__init__(AdoptedRabbitMqProvider(), resource_name, props, opts)


class AdoptedRedisInputs(_PartInputs):
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)

    @property
    def part(self) -> str:
        return "redis"

    def opens(self, login: Login) -> bool:
        try:
            self._run(login, "ACL", "WHOAMI")
        except redis.exceptions.AuthenticationError:
            return False
        return True

    def change(self, login: Login, password: str) -> None:
        self._run(login, "ACL", "SETUSER", login.username, "resetpass", f">{password}")

    def settle(self, login: Login) -> None:
        self._run(login, "ACL", "SAVE")

    def _run(self, login: Login, *command: str) -> None:
        client = connect(host=self.host, port=self.port, login=login)
        try:
            client.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.AuthenticationError:
            raise
        except redis.exceptions.RedisError as error:
            raise redis_problem(f"{self.host}:{self.port}", error) from None
        finally:
            client.close()


class AdoptedRedisProvider(_AdoptionProvider):
    model = AdoptedRedisInputs


class AdoptedRedis(Resource, module="tenantry", name="AdoptedRedis"):
    """Redis's admin login, in OpenBao at `<kv_mount>/cell/redis`. Deleting the resource leaves it there.

    host, port: the server, TLS, with an ACL file.
    """

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    kv_mount: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        host: str,
        port: int,
        kv_mount: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"host": host, "port": port, "kv_mount": kv_mount}
        super().__init__(AdoptedRedisProvider(), resource_name, props, opts)
