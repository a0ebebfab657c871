"""Kubernetes quantities, read strictly: CPU to milli-cores, memory and storage to MiB.

Kubernetes accepts more spellings (`1e3`, `0.5`, `100M`, plain bytes); one spelling a size keeps files comparable,
and a slip such as `512MB` is refused with the spelling that was probably meant.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["Cpu", "Mebibytes", "cpu_text", "mebibytes_text", "parse_cpu", "parse_mebibytes"]

_CPU = re.compile(r"(?P<milli>[1-9][0-9]{0,6})m|(?P<cores>[1-9][0-9]{0,3})")
_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,6})(?P<unit>Mi|Gi|Ti)")
_MIB = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
_SLIP = re.compile(r"(?P<number>[0-9]+)\s*(?P<letter>[kKmMgGtT])(?:i?[bB]|I|i)?")


def parse_cpu(value: object) -> int:
    """`250m` → 250, `2` → 2000 milli-cores. Raises PydanticCustomError, whose context carries a `hint`."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        found = _CPU.fullmatch(value)
        if found is not None:
            return int(found["milli"]) if found["milli"] else int(found["cores"]) * 1000
    hint = "write milli-cores such as 250m, or whole cores such as 2"
    if isinstance(value, float) and value > 0:
        hint = f"write {round(value * 1000)}m"
    raise PydanticCustomError("quantity", "{given} is not a CPU quantity", {"given": repr(value), "hint": hint})


def parse_mebibytes(value: object) -> int:
    """`512Mi` → 512, `2Gi` → 2048 MiB. Raises PydanticCustomError, whose context carries a `hint`."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value)
        if found is not None:
            return int(found["number"]) * _MIB[found["unit"]]
    hint = "write a whole number with Mi, Gi or Ti, such as 512Mi"
    slip = _SLIP.fullmatch(value) if isinstance(value, str) else None
    if slip is not None and slip["letter"].upper() in "MGT":
        hint = f"write {slip['number']}{slip['letter'].upper()}i"
    elif isinstance(value, int) and not isinstance(value, bool):
        hint = f"the unit is missing: write {value}Mi or {value}Gi"
    raise PydanticCustomError("quantity", "{given} is not a size", {"given": repr(value), "hint": hint})


def cpu_text(milli: int) -> str:
    """Milli-cores as Kubernetes writes them: 2000 → `2`, 250 → `250m`."""
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def mebibytes_text(mebibytes: int) -> str:
    """MiB as Kubernetes writes them: 2048 → `2Gi`, 512 → `512Mi`."""
    return f"{mebibytes // 1024}Gi" if mebibytes and mebibytes % 1024 == 0 else f"{mebibytes}Mi"


Cpu = Annotated[
    int,
    BeforeValidator(parse_cpu),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^([1-9][0-9]{0,6}m|[1-9][0-9]{0,3})$"},
            ]
        }
    ),
]
"""A CPU amount in a file; milli-cores in Python."""

Mebibytes = Annotated[
    int,
    BeforeValidator(parse_mebibytes),
    WithJsonSchema({"type": "string", "pattern": r"^[1-9][0-9]{0,6}(Mi|Gi|Ti)$"}),
]
"""A memory or storage size in a file; MiB in Python."""
