"""What a cell lives on runs out some day: tokens and certificates, each with its last moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["SOON_DAYS", "Validity", "soonest"]

SOON_DAYS = 21
"""From so many days before its end on, somebody is told: what renews itself has been renewed by then."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """what: "certificate etcd/server". until: after this moment it opens nothing. renewed_by: the command, or who."""

    what: str
    until: datetime
    renewed_by: str

    def days_left(self, now: datetime) -> float:
        """Below zero once it has run out."""
        return (self.until - now).total_seconds() / _DAY_S


def soonest(found: Iterable[Validity]) -> tuple[Validity, ...]:
    """In the order in which they run out."""
    return tuple(sorted(found, key=lambda one: (one.until, one.what)))
