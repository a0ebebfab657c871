"""OpenBao, searched: keys, secrets, database accounts, policies, roles, identities, tokens and leases.

Lists names and never reads a secret's value. Needs list on every mount, and `sudo` for accessors and leases.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hvac
import hvac.exceptions
import requests

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["OpenBaoReader", "search_openbao"]

SYSTEM = "openbao"
_TIMEOUT_S = (3.0, 30.0)
_LOOKUP = "auth/token/lookup-accessor"


class OpenBaoReader:
    """Reads and lists by path. Certificates are checked against VAULT_CACERT's authority, else the system's."""

    def __init__(self, *, address: str, token: str) -> None:
        session = requests.Session()
        session.trust_env = False
        session.verify = os.environ.get("VAULT_CACERT") or True
        self.address = address
        self._client = hvac.Client(url=address, token=token, session=session, timeout=_TIMEOUT_S, strict_http=True)

    def read(self, path: str, method: str = "get", **body: str) -> dict[str, Any] | None:
        """The answer's data; None when there is nothing. Raises DependencyUnavailable, also for a refusal: what may
        not be looked at must not count as empty."""
        try:
            answer = self._client.adapter.request(method, f"/v1/{path}", json=body or None)
        except hvac.exceptions.InvalidPath:
            return None
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise DependencyUnavailable(
                f"OpenBao at {self.address} does not let the inventory look at {path} ({type(error).__name__})",
                where=path,
                hint="is it up and unsealed, and may the token list there?",
            ) from None
        return dict(answer.get("data") or {}) if isinstance(answer, dict) else {}

    def names(self, path: str) -> list[str]:
        return list((self.read(path, "list") or {}).get("keys") or ())

    def tree(self, path: str) -> Iterator[str]:
        """Every leaf below a folder, as full paths."""
        for name in self.names(path):
            if name.endswith("/"):
                yield from self.tree(f"{path.rstrip('/')}/{name}")
            else:
                yield f"{path.rstrip('/')}/{name}"

    def secret(self, mount: str, path: str) -> dict[str, str] | None:
        """Fields of a kv secret of the cell's own."""
        data = self.read(f"{mount}/data/{path}")
        return None if data is None else dict(data["data"])


def search_openbao(subject: Subject, reader: OpenBaoReader) -> Searched:
    looked_at = 0
    findings: list[Finding] = []
    for kind, name, also in _things(reader):
        looked_at += 1
        if subject.marks(name, also):
            findings.append(Finding(system=SYSTEM, kind=kind, name=name))
    return Searched(system=SYSTEM, looked_at=looked_at, findings=tuple(findings))


def _things(reader: OpenBaoReader) -> Iterator[tuple[str, str, object]]:
    """(kind, name, what else may carry the mark) of everything."""
    for mount, settings in (reader.read("sys/mounts") or {}).items():
        path = mount.rstrip("/")
        yield "mount", path, settings.get("description")
        match settings.get("type"):
            case "transit":
                yield from (("transit key", f"{path}/{name}", "") for name in reader.names(f"{path}/keys"))
            case "kv":
                folder = f"{path}/metadata" if (settings.get("options") or {}).get("version") == "2" else path
                yield from (("secret", f"{path}{leaf.removeprefix(folder)}", "") for leaf in reader.tree(folder))
            case "database":
                for kind, folder in (
                    ("database connection", "config"),
                    ("database role", "roles"),
                    ("static database role", "static-roles"),
                ):
                    yield from ((kind, f"{path}/{folder}/{name}", "") for name in reader.names(f"{path}/{folder}"))
            case "pki":
                yield from (("pki role", f"{path}/{name}", "") for name in reader.names(f"{path}/roles"))
    yield from _logins(reader)
    for path in ("sys/leases/lookup/database", "sys/leases/lookup/pki"):
        yield from (("lease", leaf.removeprefix("sys/leases/lookup/"), "") for leaf in reader.tree(path))


def _logins(reader: OpenBaoReader) -> Iterator[tuple[str, str, object]]:
    for name in reader.names("sys/policies/acl"):
        yield "policy", name, reader.read(f"sys/policies/acl/{name}")
    for mount, settings in (reader.read("sys/auth") or {}).items():
        yield "auth method", mount.rstrip("/"), settings.get("description")
        for kind, folder in {
            "kubernetes": (("auth role", "role"),),
            "userpass": (("user", "users"),),
            "approle": (("auth role", "role"),),
            "jwt": (("auth role", "role"),),
            "oidc": (("auth role", "role"),),
        }.get(settings.get("type"), ()):
            path = f"auth/{mount}{folder}"
            yield from ((kind, f"{path}/{name}", reader.read(f"{path}/{name}")) for name in reader.names(path))
    for kind in ("entity", "group"):
        listed = reader.read(f"identity/{kind}/id", "list") or {}
        for identity in listed.get("keys") or ():
            # The listing leaves out what an alias is for: the namespace of the service account that logged in.
            yield f"identity {kind}", identity, reader.read(f"identity/{kind}/id/{identity}")
    for accessor in reader.names("auth/token/accessors"):
        yield "token", accessor, _token(reader, accessor)


def _token(reader: OpenBaoReader, accessor: str) -> object:
    """What a token's accessor tells; None for a token that has run out: OpenBao lists its accessor until it comes to
    clear it away, and refuses to show it, as it refuses those who may not look at all."""
    try:
        return reader.read(_LOOKUP, "post", accessor=accessor)
    except DependencyUnavailable:
        own = (reader.read("auth/token/lookup-self") or {}).get("accessor")
        if own is None or own == accessor:
            raise
        reader.read(_LOOKUP, "post", accessor=str(own))
        return None
