"""Which backups to keep. Pure.

The newest of each of the last N days, ISO weeks and months *that have a backup* is kept (so a tenant whose
backups stopped loses none by the passing of time), and the newest one always. Invariants, checked by the tests:
the newest is never pruned; keeping more never prunes more; pruning again prunes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from tenantry.backup.manifest import taken_at

__all__ = ["Retention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days, weeks and months with a backup stay represented. Periods are in UTC."""

    daily: int
    weekly: int
    monthly: int

    def expired(self, identifiers: Collection[str]) -> tuple[str, ...]:
        """What may go, oldest first, of ids of backups that are whole."""
        newest_first = sorted(identifiers, reverse=True)
        kept = set(newest_first[:1])
        for count, period in ((self.daily, _day), (self.weekly, _week), (self.monthly, _month)):
            kept.update(_newest_of_each(newest_first, count, period))
        return tuple(identifier for identifier in reversed(newest_first) if identifier not in kept)


def _day(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month, moment.day


def _week(moment: datetime) -> tuple[int, ...]:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> tuple[int, ...]:
    return moment.year, moment.month


def _newest_of_each(
    newest_first: Collection[str], count: int, period: Callable[[datetime], tuple[int, ...]]
) -> list[str]:
    newest: dict[tuple[int, ...], str] = {}
    for identifier in newest_first:
        newest.setdefault(period(taken_at(identifier)), identifier)
    return list(newest.values())[:count]
