"""How a cell stands with physical backups of its database server: when the next is due, and if it is late. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["PhysicalStanding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalStanding:
    """taken: when each whole one was, oldest first. needed_since: when the first of the cell's tenants was made; None
    while there is nobody to bring back. every: from one to the next."""

    taken: tuple[datetime, ...]
    needed_since: datetime | None
    every: timedelta

    @property
    def due_at(self) -> datetime | None:
        """The first soon after the first tenant; none before."""
        if self.needed_since is None:
            return None
        return self.taken[-1] + self.every if self.taken else self.needed_since

    def overdue(self, now: datetime) -> bool:
        """Late by more than a quarter of the time between two: what is tried again by itself has had its chances."""
        return self.due_at is not None and now > self.due_at + self.every / 4
