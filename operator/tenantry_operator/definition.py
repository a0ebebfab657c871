"""The definition of Tenant in the cluster against the one that this operator was built for.

A definition that is older drops fields that we write; one that is newer takes fields that we do not know. In the first
case the operator waits and says what to do; in the second it works, and a tenant that uses such a field is stalled.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.schema import GROUP, PLURAL, VERSION, crd

__all__ = ["Compared", "await_definition", "compare"]

_log = logging.getLogger(__name__)
_PATH = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"
_AGAIN_S = 3.0
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """obstacle: why the operator cannot work with it, and what to do; "" when it can. warning: likewise, for one that
    it can work with."""

    obstacle: str = ""
    warning: str = ""


def compare(live: Mapping[str, Any] | None) -> Compared:
    """live: the definition as the API server gives it, None for none. Pure."""
    if live is None:
        return Compared(obstacle=f"the cluster has no definition {PLURAL}.{GROUP}: run `tenantry cell up`")
    served = _served(live)
    if served is None:
        return Compared(
            obstacle=f"the cluster does not serve {GROUP}/{VERSION}, for which this operator was built: install the "
            "operator that belongs to the definition, or run `tenantry cell up` of this version"
        )
    ours, theirs = set(_fields(_served(crd()) or {})), set(_fields(served))
    if missing := sorted(ours - theirs):
        return Compared(
            obstacle=f"the definition of Tenant is older than this operator, it lacks {_listed(missing)}: "
            "run `tenantry cell up` of this version"
        )
    if unknown := sorted(theirs - ours):
        return Compared(
            warning=f"the definition of Tenant is newer than this operator, which does not know {_listed(unknown)}; "
            "tenants that use these are stalled: install the operator that belongs to it"
        )
    return Compared()


def await_definition(cluster: Cluster, stop: threading.Event, *, waiting: Callable[[str], None]) -> bool:
    """Wait until the cluster's definition is one to work with; False when `stop` was set first. waiting: told what is
    in the way, "" at the end."""
    told = ""
    while not stop.is_set():
        try:
            compared = compare(cluster.get(_PATH))
        except (ApiError, DependencyUnavailable) as error:
            compared = Compared(obstacle=f"the definition of Tenant cannot be read: {error}")
        if not compared.obstacle:
            if compared.warning:
                _log.warning(compared.warning)
            waiting("")
            return True
        waiting(compared.obstacle)
        if compared.obstacle != told:
            told = compared.obstacle
            _log.error(told)
        stop.wait(_AGAIN_S)
    return False


def _served(definition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of our version, None where it is not served."""
    for one in definition["spec"]["versions"]:
        if one["name"] == VERSION and one["served"]:
            schema: Mapping[str, Any] = one["schema"]["openAPIV3Schema"]
            return schema
    return None


def _fields(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of every field that a schema has."""
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}{name}"
        yield from _fields(inner, f"{path}{name}.")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, Mapping):
            yield from _fields(inner, path)


def _listed(fields: list[str]) -> str:
    more = len(fields) - _SHOWN
    return ", ".join(fields[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
