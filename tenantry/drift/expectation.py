"""What should live of one tenant, as small as it can be kept: read from its checkpoint, held for all tenants at once.

Of a Kubernetes object the version is enough: while it stands, nobody has touched the object.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.kubernetes_resources import Reference, reference_of
from tenantry.engine.properties import SIGNATURE_KEY

__all__ = ["Account", "Expectation", "StaticRole", "expectation_of", "stamp_of"]

_DYNAMIC = "pulumi-python:dynamic/tenantry:"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRole:
    connection: str
    username: str
    rotation_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """host: of the server that it is on."""

    host: str
    schema: str
    max_connections: int


@dataclass(slots=True, kw_only=True)
class Expectation:
    """stamp: of the checkpoint's file as it was read. objects: version by place, brought up to date where a look found
    an object changed in nothing that counts. Paths are OpenBao's."""

    name: str
    namespace: str
    stamp: tuple[int, int]
    objects: dict[Reference, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    roles: dict[str, StaticRole] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)
    """Host of its server, by schema."""
    accounts: dict[str, Account] = field(default_factory=dict)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Changes with every save of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def expectation_of(name: str, namespace: str, stamp: tuple[int, int], resources: Mapping[str, Recorded]) -> Expectation:
    expected = Expectation(name=name, namespace=namespace, stamp=stamp)
    for one in resources.values():
        inputs: Mapping[str, Any] = one.raw.get("inputs") or {}
        if one.is_kubernetes:
            place = _interned(reference_of(inputs))
            expected.objects[place] = str((one.raw.get("outputs") or {}).get("metadata", {}).get("resourceVersion"))
        elif one.type.startswith(_DYNAMIC) and SIGNATURE_KEY not in inputs:
            _add(expected, one.type.removeprefix(_DYNAMIC), inputs)
    return expected


def _add(expected: Expectation, kind: str, inputs: Mapping[str, Any]) -> None:
    match kind:
        case "TransitKey":
            expected.keys.add(f"{inputs['mount']}/keys/{inputs['key_name']}")
        case "KvSecrets":
            expected.secrets.add(f"{inputs['mount']}/{inputs['path']}")
        case "DatabaseStaticRole":
            expected.roles[f"{inputs['mount']}/static-roles/{inputs['role']}"] = StaticRole(
                connection=inputs["connection"],
                username=inputs["username"],
                rotation_s=int(inputs["rotation_days"]) * 86_400,
            )
        case "Schema":
            expected.schemas[inputs["schema"]] = str(inputs["host"])
        case "Account":
            expected.accounts[inputs["username"]] = Account(
                host=str(inputs["host"]),
                schema=inputs["schema"],
                max_connections=int(inputs["max_connections"]),
            )
        case _:
            return


def _interned(place: Reference) -> Reference:
    """A thousand tenants share the texts of their kinds."""
    return Reference(
        sys.intern(place.api_version), sys.intern(place.kind), sys.intern(place.namespace), sys.intern(place.name)
    )
