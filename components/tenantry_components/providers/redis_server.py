"""Redis as the providers reach it: over verified TLS, with the login in kv `cell/redis`."""

from __future__ import annotations

import functools
from typing import Any

import redis
import redis.backoff
import redis.exceptions
import redis.retry

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError
from tenantry_components.providers.credential import Login, cell_login

__all__ = ["RedisServer", "connect", "redis_problem", "server"]


def connect(*, host: str, port: int, login: Login) -> redis.Redis:
    """A client with its own pool; connects at the first command. Raises redis errors; see `redis_problem`."""
    return redis.Redis(
        host=host,
        port=port,
        username=login.username,
        password=login.password,
        ssl=True,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        ssl_ca_data=login.authority,
        socket_connect_timeout=3,
        socket_timeout=15,
        retry=redis.retry.Retry(redis.backoff.ExponentialBackoff(cap=2, base=0.1), 3),
        decode_responses=True,
        max_connections=16,
    )


class RedisServer:
    """One server with the cell's login, read again when Redis refuses it."""

    def __init__(self, *, host: str, port: int, kv_mount: str) -> None:
        self._host = host
        self._port = port
        self._kv_mount = kv_mount
        self._client: redis.Redis | None = None

    def execute(self, *command: str) -> Any:
        """Run one idempotent command. Raises tenancy errors that do not hold the command."""
        kept = self._client
        try:
            try:
                return (kept or self._connect()).execute_command(*command)  # type: ignore[no-untyped-call]
            except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError):
                if kept is None:
                    raise
            return self._connect().execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.RedisError as error:
            raise redis_problem(f"{self._host}:{self._port}", error) from None

    def _connect(self) -> redis.Redis:
        self._client = connect(host=self._host, port=self._port, login=cell_login(self._kv_mount, "redis"))
        return self._client


def redis_problem(address: str, error: redis.exceptions.RedisError) -> TenantryError:
    """What a client's error means; the command and Redis's answer are left out."""
    name = f"Redis at {address}"
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return DependencyUnavailable(
            f"{name} refuses the login in kv cell/redis",
            where=address,
            hint="its password was changed outside OpenBao: set the one in OpenBao, or store the new one there",
        )
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return DependencyUnavailable(
            f"{name} cannot be reached over verified TLS",
            where=address,
            hint="check that it runs (on a local platform: `tenantry local status`), and kv cell/authority",
        )
    return RunFailed(f"{name} failed ({type(error).__name__})", where=address, hint="look in Redis's log")


@functools.lru_cache(maxsize=8)
def server(*, host: str, port: int, kv_mount: str) -> RedisServer:
    """The process's object for one server."""
    return RedisServer(host=host, port=port, kv_mount=kv_mount)
