"""A stack's outputs as callers see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.properties import Secret, plain
from tenantry.engine.sealing import Sealer
from tenantry.engine.urn import ROOT_TYPE

__all__ = ["root_outputs", "shown"]


def root_outputs(states: Mapping[str, Recorded], sealer: Sealer) -> dict[str, Any]:
    """Plain values; a secret one is a SecretStr (of its JSON when it is no string)."""
    for one in states.values():
        if one.type == ROOT_TYPE:
            opened = sealer.open(one.raw.get("outputs") or {})
            return {key: shown(value) for key, value in opened.items()}
    return {}


def shown(value: Any) -> Any:
    """A property value as a caller may have it."""
    if isinstance(value, Secret):
        bare = plain(value)
        return SecretStr(bare if isinstance(bare, str) else json.dumps(bare))
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value
