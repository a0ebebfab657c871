"""A tenant's entry for the cell's egress proxy: who may come (a hash of its password) and where to (its hosts)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import bcrypt
import pulumi
from pulumi.dynamic import Resource
from pydantic import Field, StringConstraints
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from tenantry.openbao import VersionMoved, openbao
from tenantry_components.providers.credential import drop_login, tenant_login
from tenantry_components.providers.provider import Inputs, UpsertProvider

__all__ = ["ENTRIES", "EgressEntry", "EgressEntryProvider"]

ENTRIES = "cell/egress"
"""Below the kv mount; one entry a tenant, named like its namespace."""

# The texts go into the proxy's configuration: nothing but a namespace, a host name and a port may come through here.
_NAMESPACE = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_HOST = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?:[1-9][0-9]{0,4}$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATH = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
# The password has 256 random bits, which nobody guesses however fast the hash is; the proxy computes it often.
_COST = 5


class EgressEntryInputs(Inputs):
    namespace: str = Field(pattern=_NAMESPACE)
    hosts: tuple[Annotated[str, StringConstraints(pattern=_HOST)], ...]
    kv_mount: str = Field(pattern=_NAME)
    kv_path: str = Field(pattern=_PATH)
    verifier: str = Field(pattern="^exact$")

    @property
    def entry(self) -> str:
        return f"{ENTRIES}/{self.namespace}"

    @property
    def ports(self) -> str:
        """JSON, port to host names: the proxy's template has one rule a port."""
        found: dict[str, list[str]] = defaultdict(list)
        for host in self.hosts:
            name, _, port = host.rpartition(":")
            found[port].append(name)
        return json.dumps({port: sorted(set(names)) for port, names in found.items()}, sort_keys=True)


class EgressEntryProvider(UpsertProvider[EgressEntryInputs]):
    model = EgressEntryInputs
    identity = ("kv_mount", "kv_path", "namespace")

    def ensure(self, wanted: EgressEntryInputs) -> None:
        # Two runs at once: the loser of the check-and-set sees the winner's entry.
        retrying = Retrying(retry=retry_if_exception_type(VersionMoved), stop=stop_after_attempt(4), reraise=True)
        retrying(_write, wanted)

    def observe(self, wanted: EgressEntryInputs) -> Mapping[str, Any] | None:
        entry = openbao().kv_read(wanted.kv_mount, wanted.entry)
        if entry is None:
            return None
        login = openbao().kv_read(wanted.kv_mount, wanted.kv_path)
        exact = login is not None and _opens(str(login[0].get("password", "")), entry[0])
        return {"hosts": _hosts(entry[0]), "verifier": "exact" if exact else "differs"}

    def remove(self, wanted: EgressEntryInputs) -> None:
        # The proxy's entry first: without it the login opens nothing.
        openbao().kv_destroy(wanted.kv_mount, wanted.entry)
        drop_login(wanted.kv_mount, wanted.kv_path)


def _write(wanted: EgressEntryInputs) -> None:
    password = tenant_login(wanted.kv_mount, wanted.kv_path, wanted.namespace).password
    found = openbao().kv_read(wanted.kv_mount, wanted.entry)
    fields, version = found if found is not None else ({}, 0)
    if _opens(password, fields) and fields.get("hosts") == wanted.ports:
        return
    verifier = fields["verifier"] if _opens(password, fields) else _hash(password)
    openbao().kv_write(wanted.kv_mount, wanted.entry, {"verifier": verifier, "hosts": wanted.ports}, version=version)


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=_COST)).decode()


def _opens(password: str, entry: Mapping[str, Any]) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), str(entry.get("verifier", "")).encode())
    except ValueError:  # no hash at all: somebody edited it
        return False


def _hosts(entry: Mapping[str, Any]) -> list[str]:
    """The hosts as inputs name them; [] when the entry's text is not ours any more."""
    try:
        ports = json.loads(str(entry.get("hosts", "")))
        return sorted(f"{name}:{port}" for port, names in ports.items() for name in names)
    except (AttributeError, TypeError, ValueError):
        return []


class EgressEntry(Resource, module="tenantry", name="EgressEntry"):
    """A login to the egress proxy, made once, and what it opens.

    namespace: the tenant's, the login's user name. hosts: `host:port` each, sorted. kv_mount: OpenBao's kv.
    kv_path: where the tenant reads its password. Deleting the resource closes the way out and forgets the login.
    """

    namespace: pulumi.Output[str]
    hosts: pulumi.Output[Sequence[str]]

    def __init__(
        self,
        resource_name: str,
        *,
        namespace: str,
        hosts: Sequence[str],
        kv_mount: str,
        kv_path: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "namespace": namespace,
            "hosts": list(hosts),
            "kv_mount": kv_mount,
            "kv_path": kv_path,
            "verifier": "exact",
        }
        super().__init__(EgressEntryProvider(), resource_name, props, opts)
