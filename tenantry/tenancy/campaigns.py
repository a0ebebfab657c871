"""Campaigns of a tenant's calendar: from when to when, in the customer's own time zone. Pure.

A campaign begins at each time of its cron expression `start` and ends at the next time of `end`, both local times of
its zone, so that "Friday 8 o'clock" stays that when the clocks change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

__all__ = ["Campaign", "CampaignReplicas", "is_active", "never_comes", "next_turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReplicas:
    """least: as many at least, None: no demand. most: as many at most (0 switches it off), None: no limit."""

    module: str
    least: int | None
    most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """start, end: cron expressions of five fields. zone: an IANA name. first_day, last_day: ISO dates of the zone
    between which it counts, both included; None: no limit."""

    name: str
    start: str
    end: str
    zone: str
    first_day: str | None
    last_day: str | None
    modules: tuple[CampaignReplicas, ...]

    def of(self, module: str) -> CampaignReplicas | None:
        return next((one for one in self.modules if one.module == module), None)


def never_comes(expression: str) -> bool:
    """Whether a cron expression is none, or names a day that no year has."""
    try:
        return _next(expression, datetime(2026, 1, 1, tzinfo=UTC)) is None
    except CronSimError:
        return True


def is_active(campaign: Campaign, now: datetime) -> bool:
    """Whether it runs now: it has begun since it last ended. A start and an end at the same time: it has begun."""
    local = now.astimezone(ZoneInfo(campaign.zone))
    if not _counts(campaign, local.date()):
        return False
    begun, ended = _last(campaign.start, local), _last(campaign.end, local)
    return begun is not None and (ended is None or begun >= ended)


def next_turn(campaign: Campaign, now: datetime) -> datetime | None:
    """When `is_active` may next become another; None: never again."""
    zone = ZoneInfo(campaign.zone)
    local = now.astimezone(zone)
    if campaign.last_day is not None and local.date() > date.fromisoformat(campaign.last_day):
        return None
    times = [found for one in (campaign.start, campaign.end) if (found := _next(one, local)) is not None]
    midnights = [campaign.first_day] if campaign.first_day else []
    times += [datetime.combine(date.fromisoformat(day), datetime.min.time(), tzinfo=zone) for day in midnights]
    if campaign.last_day is not None:
        last = date.fromisoformat(campaign.last_day).toordinal() + 1
        times.append(datetime.combine(date.fromordinal(last), datetime.min.time(), tzinfo=zone))
    return min((one.astimezone(UTC) for one in times if one.astimezone(UTC) > now), default=None)


def _counts(campaign: Campaign, day: date) -> bool:
    if campaign.first_day is not None and day < date.fromisoformat(campaign.first_day):
        return False
    return campaign.last_day is None or day <= date.fromisoformat(campaign.last_day)


def _next(expression: str, after: datetime) -> datetime | None:
    return next(CronSim(expression, after), None)


def _last(expression: str, now: datetime) -> datetime | None:
    """The latest time up to now; this very minute counts."""
    # Cronsim gives what lies strictly before; one second ahead, the present minute does.
    return next(CronSim(expression, datetime.fromtimestamp(now.timestamp() + 1, tz=now.tzinfo), reverse=True), None)
