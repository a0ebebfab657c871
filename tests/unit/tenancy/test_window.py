"""Maintenance windows: when the next one is open, over midnight and over a change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.window import opens_at, parse_window


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "opens"),
    [
        pytest.param("Sun 02:00-04:00 Etc/UTC", "2026-11-29T03:00", "2026-11-29T03:00", id="open now"),
        pytest.param("Sun 02:00-04:00 Etc/UTC", "2026-11-29T04:00", "2026-12-06T02:00", id="its end is not in it"),
        pytest.param("Sun 02:00-04:00 Etc/UTC", "2026-11-29T01:59", "2026-11-29T02:00", id="later today"),
        pytest.param("Sat 23:00-01:00 Etc/UTC", "2026-11-29T00:30", "2026-11-29T00:30", id="over midnight"),
        pytest.param("Mon,Thu 02:00-03:00 Etc/UTC", "2026-11-24T12:00", "2026-11-26T02:00", id="the nearer of two"),
        pytest.param("Sun 02:30-04:00 Europe/Berlin", "2026-07-05T00:00", "2026-07-05T00:30", id="summer time"),
        pytest.param("Sun 02:30-04:00 Europe/Berlin", "2026-11-29T01:00", "2026-11-29T01:30", id="winter time"),
    ],
)
def test_when_a_window_is_next_open(window: str, now: str, opens: str) -> None:
    assert opens_at(parse_window(window), utc(now)) == utc(opens)


@given(
    day=st.sampled_from(["Mon", "Wed", "Sat,Sun", "Fri"]),
    hours=st.permutations(range(24)).map(lambda found: found[:2]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Etc/UTC"]),
    now=st.integers(0, 700 * 24 * 60).map(lambda minutes: utc("2026-01-01T00:00") + timedelta(minutes=minutes)),
)
def test_it_opens_within_a_week_and_is_open_when_it_says_so(
    day: str, hours: list[int], zone: str, now: datetime
) -> None:
    window = parse_window(f"{day} {hours[0]:02}:00-{hours[1]:02}:00 {zone}")
    opens = opens_at(window, now)
    assert now <= opens <= now + timedelta(days=7, hours=1)
    assert opens_at(window, opens) == opens
