"""What an engine finds drifted, in the words of the domain. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.engine.interface import Change, Effect, Op
from tenantry.tenancy.drift import Finding, What

__all__ = ["findings_of"]

_WHAT = {Op.CREATE: What.GONE, Op.DELETE: What.LEFT_OVER, Op.READ: What.FOREIGN}


def findings_of(changes: Iterable[Change]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            what=What.LOST if change.effect is Effect.DATA_LOSS else _WHAT.get(change.op, What.CHANGED),
            kind=change.type.rpartition(":")[2],
            name=change.name,
            fields=change.paths,
        )
        for change in changes
    )
