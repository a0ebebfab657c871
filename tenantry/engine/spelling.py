"""Spelling: the same Kubernetes object, written in two ways. Pure.

The Pulumi CLI stores an object's inputs after a round trip through Kubernetes' own types: `1024Mi` becomes `1Gi`,
`1000m` becomes `1`, and what is empty is left out. A program's own spelling is no change of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tenantry.engine.properties import plain

__all__ = ["alike"]

_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_FACTORS: dict[str | None, Decimal] = {None: Decimal(1), "m": Decimal("0.001")}
_FACTORS |= {unit: Decimal(1000) ** (power + 1) for power, unit in enumerate("kMGTP")}
_FACTORS |= {f"{unit}i": Decimal(1024) ** (power + 1) for power, unit in enumerate("KMGTP")}


def alike(left: Any, right: Any) -> bool:
    """Whether two inputs may be the same object, spelled differently: quantities by value, absent as empty.

    May be is not is: an empty selector means something, and `1Gi` may be a mere text. So a yes is to be confirmed by
    the API server; a no is final.
    """
    left, right = plain(left), plain(right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return all(
            alike(left[key], right[key]) if key in left and key in right else _empty(left.get(key, right.get(key)))
            for key in left.keys() | right.keys()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if left == right and isinstance(left, bool) == isinstance(right, bool):
        return True
    first, second = _amount(left), _amount(right)
    return first is not None and first == second


def _empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_empty, value.values()))
    return value is None or value is False or value in ("", 0) or value == []


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _QUANTITY.fullmatch(str(value))
    return Decimal(found[1]) * _FACTORS[found[2]] if found is not None else None
