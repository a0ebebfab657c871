"""Logins kept in OpenBao's kv: the cell's own (`cell/<part>`, written by the adoption), and tenants' (made once)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from tenantry.openbao import VersionMoved, openbao
from tenantry.tenancy.errors import Conflict, DependencyUnavailable

__all__ = ["AUTHORITY", "PASSWORD_BYTES", "Login", "authority", "cell_login", "drop_login", "tenant_login"]

AUTHORITY = "cell/authority"
PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """authority: PEM that signs the server's certificate, None: what the system trusts."""

    username: str
    password: str = field(repr=False)
    authority: str | None = field(default=None, repr=False)


def authority(kv_mount: str) -> str | None:
    """PEM of the authority that signed the shared services' certificates, None: trust what the system trusts."""
    found = openbao().kv_read(kv_mount, AUTHORITY)
    return str(found[0]["pem"]) if found is not None else None


def cell_login(kv_mount: str, part: str) -> Login:
    """The admin login of a shared service. Raises DependencyUnavailable when the cell has not been set up."""
    path = f"cell/{part}"
    found = openbao().kv_read(kv_mount, path)
    if found is None or "password" not in found[0]:
        raise DependencyUnavailable(
            f"OpenBao holds no credentials for {part}: {kv_mount}/{path} has no password",
            where=f"{kv_mount}/{path}",
            hint="set up the cell first: `tenantry cell up`",
        )
    fields = found[0]
    return Login(username=str(fields["username"]), password=str(fields["password"]), authority=authority(kv_mount))


def tenant_login(kv_mount: str, path: str, username: str) -> Login:
    """The tenant's login at this path; made there first when it is missing, before any server hears of it.

    Raises Conflict when the path holds another account's login.
    """
    # Two runs at once: the loser of the check-and-set reads the winner's password.
    retrying = Retrying(retry=retry_if_exception_type(VersionMoved), stop=stop_after_attempt(4), reraise=True)
    return retrying(_tenant_login, kv_mount, path, username)


def _tenant_login(kv_mount: str, path: str, username: str) -> Login:
    found = openbao().kv_read(kv_mount, path)
    if found is None:
        password = secrets.token_hex(PASSWORD_BYTES)
        openbao().kv_write(kv_mount, path, {"username": username, "password": password}, version=0)
        return Login(username=username, password=password)
    fields = found[0]
    if fields.get("username") != username or "password" not in fields:
        raise Conflict(
            f"{kv_mount}/{path} does not hold the login of {username}",
            where=f"{kv_mount}/{path}",
            hint="it belongs to another account, or somebody edited it: move it away and run again",
        )
    return Login(username=username, password=str(fields["password"]))


def drop_login(kv_mount: str, path: str) -> None:
    """Remove a tenant's login with all its versions; absent is success."""
    openbao().kv_destroy(kv_mount, path)
