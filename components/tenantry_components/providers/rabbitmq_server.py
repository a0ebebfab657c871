"""RabbitMQ's management API as the providers reach it: over verified TLS, with the login in kv `cell/rabbitmq`."""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tenantry_components.providers.credential import Login, cell_login

__all__ = ["Management", "RabbitMqServer", "server"]

_TIMEOUT = urllib3.Timeout(connect=3, read=15)
_ABSENT, _UNAUTHORIZED = 404, 401


class Management:
    """The API with one login. Every call is idempotent, so failed connections and 5xx are tried again."""

    def __init__(self, *, url: str, login: Login) -> None:
        context = ssl.create_default_context(cadata=login.authority)
        retries = urllib3.Retry(
            total=3, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), allowed_methods=None, redirect=0
        )
        self.url = url.rstrip("/")
        self.login = login
        self._pool = urllib3.PoolManager(ssl_context=context, timeout=_TIMEOUT, retries=retries, maxsize=8)
        self._headers = urllib3.make_headers(basic_auth=f"{login.username}:{login.password}")

    def request(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON body (None when empty) of a call; path parts and query are quoted here.

        Raises DependencyUnavailable when the server cannot be reached or keeps failing.
        """
        address = "/".join([self.url, "api", *(quote(part, safe="") for part in path)])
        if query:
            address += f"?{urlencode(query)}"
        data = None if body is None else json.dumps(dict(body)).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            answer = self._pool.request(method, address, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        return answer.status, json.loads(answer.data) if answer.data else None

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> DependencyUnavailable:
        name = f"RabbitMQ at {self.url}"
        reason = getattr(error, "reason", error)
        if isinstance(reason, urllib3.exceptions.SSLError):
            return DependencyUnavailable(
                f"{name} shows a certificate that cannot be verified",
                where=self.url,
                hint="kv cell/authority must hold the authority that signed it",
            )
        if isinstance(reason, urllib3.exceptions.ResponseError):
            return DependencyUnavailable(f"{name} keeps failing", where=self.url, hint="look in RabbitMQ's log")
        return DependencyUnavailable(
            f"{name} cannot be reached",
            where=self.url,
            hint="check that it runs (on a local platform: `tenantry local status`, then `tenantry local up`)",
        )


class RabbitMqServer:
    """The management API with the cell's login, read again when RabbitMQ refuses it."""

    def __init__(self, *, url: str, kv_mount: str) -> None:
        self._url = url
        self._kv_mount = kv_mount
        self._management: Management | None = None

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Any | None:
        """The answer, or None when there is no such thing."""
        return self._call("GET", path, None, query)

    def put(self, *path: str, body: Mapping[str, Any]) -> None:
        self._call("PUT", path, body)

    def delete(self, *path: str) -> None:
        """Absent is success."""
        self._call("DELETE", path, None)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None = None,
    ) -> Any | None:
        kept = self._management
        management = kept or self._connect()
        status, answer = management.request(method, *path, body=body, query=query)
        if status == _UNAUTHORIZED and kept is not None:
            status, answer = self._connect().request(method, *path, body=body, query=query)
        if status == _ABSENT:
            return None
        if status == _UNAUTHORIZED:
            raise DependencyUnavailable(
                f"RabbitMQ at {self._url} refuses the login in {self._kv_mount}/cell/rabbitmq",
                where=self._url,
                hint="its password was changed outside OpenBao: set the one in OpenBao, or store the new one there",
            )
        if status >= 300:
            raise RunFailed(
                f"RabbitMQ at {self._url} answered {status} to {method} {'/'.join(path)}",
                where=self._url,
                hint="look in RabbitMQ's log",
            )
        return answer

    def _connect(self) -> Management:
        self._management = Management(url=self._url, login=cell_login(self._kv_mount, "rabbitmq"))
        return self._management


@functools.lru_cache(maxsize=8)
def server(*, url: str, kv_mount: str) -> RabbitMqServer:
    """The process's object for one server."""
    return RabbitMqServer(url=url, kv_mount=kv_mount)
