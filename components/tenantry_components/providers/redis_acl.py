"""A tenant's user on the shared Redis: keys and channels with its prefix, and commands that stay within them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import Field

from tenantry_components.providers.credential import drop_login, tenant_login
from tenantry_components.providers.provider import Inputs, UpsertProvider
from tenantry_components.providers.redis_server import RedisServer, server

__all__ = ["COMMANDS", "CacheUser"]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATH = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
_BATCH = "500"

COMMANDS = (
    "+@all",
    "-@admin",
    "-@dangerous",
    # Key patterns do not bind these: they show names of other tenants' keys and channels, or how many there are.
    "-scan",
    "-randomkey",
    "-dbsize",
    "-pubsub",
    # Shared by everybody on the server: libraries of functions, and the cache of scripts. Locks need EVAL alone.
    "-function",
    "-fcall",
    "-fcall_ro",
    "-script",
    "+script|load",
    "+script|exists",
)

_REFUSED = (("SCAN", "0"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SCRIPT", "FLUSH"))


class CacheUserInputs(Inputs):
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    username: str = Field(pattern=_NAME)
    prefix: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*:$")
    kv_mount: str = Field(pattern=_NAME)
    kv_path: str = Field(pattern=_PATH)
    rules: str = Field(pattern="^exact$")

    @property
    def server(self) -> RedisServer:
        return server(host=self.host, port=self.port, kv_mount=self.kv_mount)


class CacheUserProvider(UpsertProvider[CacheUserInputs]):
    model = CacheUserInputs
    identity = ("username", "prefix")

    def ensure(self, wanted: CacheUserInputs) -> None:
        login = tenant_login(wanted.kv_mount, _path(wanted), wanted.username)
        # `reset` and all that follows is one command: no moment without rules, and nothing left of older ones.
        rules = ("reset", "on", f">{login.password}", f"~{wanted.prefix}*", f"&{wanted.prefix}*", *COMMANDS)
        wanted.server.execute("ACL", "SETUSER", wanted.username, *rules)
        wanted.server.execute("ACL", "SAVE")

    def observe(self, wanted: CacheUserInputs) -> Mapping[str, Any] | None:
        user = wanted.server.execute("ACL GETUSER", wanted.username)
        if not user:
            return None
        bound = (
            user["enabled"] and user["keys"] == [f"~{wanted.prefix}*"] and user["channels"] == [f"&{wanted.prefix}*"]
        )
        # Redis rewrites a user's commands in words that change with its version, so it is asked what it would allow.
        answers = [wanted.server.execute("ACL DRYRUN", wanted.username, *command) for command in _REFUSED]
        exact = bound and not user["selectors"] and "OK" not in answers
        return {"rules": "exact" if exact else "differ"}

    def remove(self, wanted: CacheUserInputs) -> None:
        redis = wanted.server
        redis.execute("ACL", "DELUSER", wanted.username)
        redis.execute("ACL", "SAVE")
        cursor = "0"
        while True:  # nobody writes under the prefix any more, so one full scan finds all
            cursor, keys = redis.execute("SCAN", str(cursor), "MATCH", f"{wanted.prefix}*", "COUNT", _BATCH)
            if keys:
                redis.execute("UNLINK", *keys)
            if str(cursor) == "0":
                break
        drop_login(wanted.kv_mount, _path(wanted))


def _path(wanted: CacheUserInputs) -> str:
    return f"{wanted.kv_path}/cache"


class CacheUser(Resource, module="tenantry", name="CacheUser"):
    """A Redis user that reads and writes keys and channels with one prefix only.

    Its password is made once and kept in OpenBao at `<kv_path>/cache` (fields username, password). Deleting the
    resource deletes the keys too. host, port: the server, TLS. prefix: ends with a colon. kv_mount: where OpenBao
    also keeps Redis's admin login (`cell/redis`). kv_path: the tenant's folder under the mount.
    Not for the tenant: SCAN and INFO, so caches are to be emptied by tags or expiry, not by pattern.
    """

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    username: pulumi.Output[str]
    prefix: pulumi.Output[str]
    kv_path: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        host: str,
        port: int,
        username: str,
        prefix: str,
        kv_mount: str,
        kv_path: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "host": host,
            "port": port,
            "username": username,
            "prefix": prefix,
            "rules": "exact",
            "kv_mount": kv_mount,
            "kv_path": kv_path,
        }
        super().__init__(CacheUserProvider(), resource_name, props, opts)
