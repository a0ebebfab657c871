"""Renaming: resources that the program now knows by another URN (aliases) keep their record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.desired import Desired
from tenantry.engine.urn import type_of

__all__ = ["renamed"]


def renamed(recorded: Mapping[str, Recorded], desired: Desired) -> dict[str, Recorded]:
    """The records under the program's present URNs, with every reference to them."""
    names: dict[str, str] = {}
    for one in desired.resources:
        if one.urn not in recorded:
            old = next((alias for alias in one.aliases if alias in recorded and alias not in names), None)
            if old is not None:
                names[old] = one.urn
    if not names:
        return dict(recorded)
    moved = [Recorded(_moved(one.raw, names), pending=one.pending) for one in recorded.values()]
    return {one.urn: one for one in moved}


def _moved(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    copy = dict(raw)
    if raw["urn"] in names:
        copy["urn"] = names[raw["urn"]]
        copy["type"] = type_of(copy["urn"])
    for key in ("parent", "deletedWith"):
        if raw.get(key) in names:
            copy[key] = names[raw[key]]
    if raw.get("dependencies"):
        copy["dependencies"] = [names.get(urn, urn) for urn in raw["dependencies"]]
    if raw.get("propertyDependencies"):
        copy["propertyDependencies"] = {
            key: [names.get(urn, urn) for urn in urns or ()] for key, urns in raw["propertyDependencies"].items()
        }
    provider, _, id_ = str(raw.get("provider") or "").rpartition("::")
    if provider in names:
        copy["provider"] = f"{names[provider]}::{id_}"
    return copy
