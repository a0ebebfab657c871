"""Maintenance windows: `Sun 02:00-04:00 Europe/Berlin`, one or more days, local time of an IANA zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from pydantic_core import PydanticCustomError

from tenantry.tenancy.document import did_you_mean

__all__ = ["DAYS", "Window", "check_zone", "opens_at", "parse_window"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    r"(?P<days>[A-Za-z]{3}(?:,[A-Za-z]{3})*) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d) (?P<zone>[A-Za-z0-9_+/-]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """days: 0 is Monday, when the window opens. end before start: it closes on the next day."""

    days: tuple[int, ...]
    start: time
    end: time
    zone: str


def parse_window(text: str) -> Window:
    """Raises PydanticCustomError, whose context carries a `hint`."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise _error(f"{text!r} is not a maintenance window", "write it as Sun 02:00-04:00 Europe/Berlin")
    days = found["days"].split(",")
    for day in days:
        if day not in DAYS:
            raise _error(f"{day!r} is not a day", did_you_mean(day, DAYS, what="days"))
    if len(set(days)) != len(days):
        raise _error("a day stands twice", "name each day once")
    start, end = _time(found["start"]), _time(found["end"])
    if start == end:
        raise _error("the window is empty: it ends when it starts", "leave maintenanceWindow out for any time")
    check_zone(found["zone"])
    return Window(days=tuple(sorted(DAYS.index(day) for day in days)), start=start, end=end, zone=found["zone"])


def opens_at(window: Window, now: datetime) -> datetime:
    """When the window is next open: `now` itself while it is, else its next beginning. In UTC."""
    zone = ZoneInfo(window.zone)
    # From yesterday, whose window may reach over midnight, to the same day of next week.
    first = now.astimezone(zone).date() - timedelta(days=1)
    for day in (first + timedelta(days=ahead) for ahead in range(10)):
        if day.weekday() not in window.days:
            continue
        last_day = day if window.start < window.end else day + timedelta(days=1)
        begins = datetime.combine(day, window.start, tzinfo=zone).astimezone(UTC)
        ends = datetime.combine(last_day, window.end, tzinfo=zone).astimezone(UTC)
        if now < ends:
            return max(begins, now.astimezone(UTC))
    raise AssertionError("a window has at least one day a week")


def check_zone(zone: str) -> str:
    """The name itself. Raises PydanticCustomError for one that the IANA database does not have."""
    if zone not in _zones():
        raise _error(f"{zone!r} is not a time zone", _zone_hint(zone))
    return zone


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone_hint(zone: str) -> str:
    close = get_close_matches(zone, _zones(), n=1)
    return f"did you mean {close[0]}?" if close else "use a name of the IANA database such as Europe/Berlin"


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise _error(f"{text!r} is not a time of day", "write 00:00 to 23:59") from None


def _error(message: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError("maintenance_window", "{message}", {"message": message, "hint": hint})
