"""The one client: of VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT, one session a process, or of what it is given.

Calls are idempotent, so connection failures and 5xx answers are tried again a bounded number of times; what
remains becomes an error that names the server and the next step, and never holds a request's or answer's body.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import hvac
import hvac.exceptions
import requests
import requests.adapters
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from tenantry.openbao.problems import TRANSIENT, Absent, problem
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput

__all__ = ["OpenBaoServer", "VersionMoved", "openbao"]

_TIMEOUT_S = (3.0, 15.0)
_ATTEMPTS = 4


class VersionMoved(Conflict):
    """A check-and-set write met another version than the one it was based on."""


class OpenBaoServer:
    """Thin calls by path, without `/v1/`. Thread-safe: requests' connection pool is, and nothing else is shared.

    token: None for a server that asks for none (an agent that logs in by itself), or before `log_in`.
    ca_file: PEM of the authority that signed its certificate, None: what the system trusts.
    namespace: OpenBao's own, None for the root one.
    """

    def __init__(self, *, address: str, token: str | None, ca_file: str | None, namespace: str | None = None) -> None:
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would replace the authority that we were given
        session.verify = ca_file or True
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=16))
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
        self.address = address
        self._session = session
        self._client = hvac.Client(
            url=address,
            token=token,
            namespace=namespace,
            verify=ca_file or True,
            timeout=_TIMEOUT_S,
            session=session,
            strict_http=True,
        )
        self._client.token = token  # without one, hvac looks in the environment and in the home folder

    def close(self) -> None:
        self._session.close()

    def log_in(self, mount: str, *, role: str, token: str) -> str:
        """Go on with the token that a Kubernetes login at `mount` gives, and return it. token: the account's."""
        answer = self._call("post", f"auth/{mount}/login", json={"role": role, "jwt": token})
        given = str(answer["auth"]["client_token"])
        self._client.token = given
        return given

    def read(self, path: str) -> dict[str, Any] | None:
        """The answer's `data`, or None when there is nothing at the path."""
        try:
            answer = self._call("get", path)
        except Absent:
            return None
        return dict(answer.get("data") or {})

    def write(self, path: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST; the answer's `data`, {} when it has none. Raises InvalidInput where OpenBao refuses the content, and
        Absent where nothing takes it."""
        return dict(self._call("post", path, json=dict(data or {})).get("data") or {})

    def names(self, folder: str) -> tuple[str, ...]:
        """What is in a folder; a folder in it ends with a slash."""
        return self._keys("list", folder)

    def tree(self, folder: str) -> tuple[str, ...]:
        """Every secret below a folder of a kv engine, in one call; paths from there."""
        return self._keys("scan", folder)

    def _keys(self, method: str, folder: str) -> tuple[str, ...]:
        try:
            answer = self._call(method, f"{folder}/")
        except Absent:
            return ()
        return tuple(str(key) for key in (answer.get("data") or {}).get("keys") or ())

    def create_token(self, role: str, *, display_name: str) -> str:
        """A new token of a token role."""
        answer = self._call("post", f"auth/token/create/{role}", json={"display_name": display_name})
        return str(answer["auth"]["client_token"])

    def delete(self, path: str) -> None:
        """Absent is success."""
        with suppress(Absent):
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

    def _call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        retrying = Retrying(
            retry=retry_if_exception_type(TRANSIENT),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            answer = retrying(self._client.adapter.request, method, f"/v1/{path}", **kwargs)
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise problem(error, server=self.address, path=path) from None
        return answer if isinstance(answer, dict) else {}


def openbao() -> OpenBaoServer:
    """The server that the environment names; one object a process for each set of values.

    VAULT_SERVER_URL and VAULT_SERVER_TOKEN, the Pulumi CLI's names for the two, serve where ours are not set.
    Raises DependencyUnavailable when neither is.
    """
    address = os.environ.get("VAULT_ADDR") or os.environ.get("VAULT_SERVER_URL")
    token = os.environ.get("VAULT_TOKEN") or os.environ.get("VAULT_SERVER_TOKEN")
    if not address or not token:
        raise DependencyUnavailable(
            "VAULT_ADDR and VAULT_TOKEN must both be set: OpenBao's address and token are taken from there",
            where="VAULT_ADDR, VAULT_TOKEN",
            hint='on a local platform: eval "$(tenantry local env)"',
        )
    return _server(address, token, os.environ.get("VAULT_CACERT") or None, os.environ.get("VAULT_NAMESPACE") or None)


@functools.lru_cache(maxsize=4)
def _server(address: str, token: str, ca_file: str | None, namespace: str | None) -> OpenBaoServer:
    return OpenBaoServer(address=address, token=token, ca_file=ca_file, namespace=namespace)
