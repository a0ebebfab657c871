"""OpenBao as the providers reach it: VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT, one session a process.

Calls are idempotent, so connection failures and 5xx answers are tried again a bounded number of times; what
remains becomes an error that names the server and the next step, and never holds a request's or answer's body.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import hvac
import hvac.exceptions
import requests
import requests.adapters
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, TenantryError

__all__ = ["OpenBaoServer", "VersionMoved", "openbao"]

_TIMEOUT_S = (3.0, 15.0)
_ATTEMPTS = 4
_TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    hvac.exceptions.InternalServerError,
    hvac.exceptions.BadGateway,
    hvac.exceptions.VaultDown,
    hvac.exceptions.RateLimitExceeded,
)


class VersionMoved(Conflict):
    """A check-and-set write met another version than the one it was based on."""


class OpenBaoServer:
    """Thin calls by path, without `/v1/`. Thread-safe: requests' connection pool is, and nothing else is shared."""

    def __init__(self, *, address: str, token: str, ca_file: str | None) -> None:
        session = requests.Session()
        session.trust_env = False
        session.verify = ca_file or True
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=16))
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
        self.address = address
        self._client = hvac.Client(
            url=address, token=token, verify=ca_file or True, timeout=_TIMEOUT_S, session=session, strict_http=True
        )

    def read(self, path: str) -> dict[str, Any] | None:
        """The answer's `data`, or None when there is nothing at the path."""
        answer = self._call("get", path)
        return None if answer is None else dict(answer.get("data") or {})

    def write(self, path: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST; the answer's `data`, {} when it has none. Raises InvalidInput where OpenBao refuses the content."""
        answer = self._call("post", path, json=dict(data or {}))
        if answer is None:
            raise DependencyUnavailable(
                f"OpenBao at {self.address} has nothing that takes {path}",
                where=path,
                hint="set up the cell's mounts first: `tenantry cell up`",
            )
        return dict(answer.get("data") or {})

    def delete(self, path: str) -> None:
        """Absent is success."""
        self._call("delete", path)

    # ---- kv version 2 -------------------------------------------------------------------------------------------

    def kv_read(self, mount: str, path: str) -> tuple[dict[str, Any], int] | None:
        """Fields and version of a secret; None when it has never been written or its last version is deleted."""
        data = self.read(f"{mount}/data/{path}")
        if data is None:
            return None
        return dict(data["data"]), int(data["metadata"]["version"])

    def kv_fields(self, mount: str, path: str) -> tuple[frozenset[str], int] | None:
        """Names of a secret's fields and its version, without its values: a token needs no right to read those."""
        data = self.read(f"{mount}/subkeys/{path}")
        if data is None:
            return None
        return frozenset(data["subkeys"] or {}), int(data["metadata"]["version"])

    def kv_write(self, mount: str, path: str, fields: Mapping[str, str], *, version: int) -> None:
        """Write all fields if the secret is still at `version` (0: does not exist). Raises VersionMoved."""
        self._check_and_set("post", mount, path, fields, version)

    def kv_patch(self, mount: str, path: str, fields: Mapping[str, str], *, version: int) -> None:
        """Add or change these fields only, if the secret is still at `version`. Raises VersionMoved."""
        self._check_and_set("patch", mount, path, fields, version)

    def kv_destroy(self, mount: str, path: str) -> None:
        """Remove the secret with all its versions."""
        self.delete(f"{mount}/metadata/{path}")

    def _check_and_set(self, method: str, mount: str, path: str, fields: Mapping[str, str], version: int) -> None:
        headers = {"Content-Type": "application/merge-patch+json"} if method == "patch" else None
        body = {"options": {"cas": version}, "data": dict(fields)}
        try:
            self._call(method, f"{mount}/data/{path}", json=body, headers=headers)
        except InvalidInput as error:
            raise VersionMoved(f"{mount}/{path} is not at version {version} any more", where=error.where) from None

    # ---- one call -----------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any] | None:
        retrying = Retrying(
            retry=retry_if_exception_type(_TRANSIENT),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            answer = retrying(self._client.adapter.request, method, f"/v1/{path}", **kwargs)
        except hvac.exceptions.InvalidPath:
            return None
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise self._problem(error, method, path) from None
        return answer if isinstance(answer, dict) else {}

    def _problem(self, error: Exception, method: str, path: str) -> TenantryError:
        server = f"OpenBao at {self.address}"
        if isinstance(error, hvac.exceptions.Forbidden | hvac.exceptions.Unauthorized):
            return DependencyUnavailable(
                f"{server} refuses to {method} {path}: the token is not valid or may not do this",
                where=path,
                hint="check VAULT_TOKEN (`bao token lookup`) and its policies",
            )
        if isinstance(error, hvac.exceptions.InvalidRequest):
            # OpenBao's own words about names and settings; it does not repeat values that were sent.
            return InvalidInput(f"{server} refuses the content for {path}: {error.args[0]}", source=path)
        if isinstance(error, requests.exceptions.SSLError):
            return DependencyUnavailable(
                f"{server} shows a certificate that cannot be verified",
                where=self.address,
                hint="VAULT_CACERT must name the file of the authority that signed it",
            )
        if isinstance(error, requests.RequestException):
            return DependencyUnavailable(
                f"{server} cannot be reached ({type(error).__name__})",
                where=self.address,
                hint="is it running? locally: `tenantry local status`, then `tenantry local up`",
            )
        if self._sealed():
            return DependencyUnavailable(
                f"{server} is sealed",
                where=self.address,
                hint="unseal it: `bao operator unseal`; locally `tenantry local up` does it",
            )
        return DependencyUnavailable(
            f"{server} failed to {method} {path} ({type(error).__name__})",
            where=path,
            hint="look in OpenBao's log; try again when it is healthy",
        )

    def _sealed(self) -> bool:
        try:
            status = self._client.sys.read_seal_status()
        except (hvac.exceptions.VaultError, requests.RequestException):
            return False
        return isinstance(status, dict) and bool(status.get("sealed"))


def openbao() -> OpenBaoServer:
    """The server that the environment names; one object a process for each set of values.

    Raises DependencyUnavailable when VAULT_ADDR or VAULT_TOKEN is not set.
    """
    address, token = os.environ.get("VAULT_ADDR"), os.environ.get("VAULT_TOKEN")
    if not address or not token:
        raise DependencyUnavailable(
            "VAULT_ADDR and VAULT_TOKEN must both be set: the providers take OpenBao's address and token from there",
            hint='locally: eval "$(tenantry local env)"',
        )
    return _server(address, token, os.environ.get("VAULT_CACERT") or None)


@functools.lru_cache(maxsize=4)
def _server(address: str, token: str, ca_file: str | None) -> OpenBaoServer:
    return OpenBaoServer(address=address, token=token, ca_file=ca_file)
