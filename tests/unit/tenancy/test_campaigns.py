"""When a campaign runs: in its own zone, over a change of the clocks, between its days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.campaigns import Campaign, CampaignReplicas, is_active, never_comes, next_turn


def campaign(
    start: str, end: str, *, zone: str = "Etc/UTC", first: str | None = None, last: str | None = None
) -> Campaign:
    only = (CampaignReplicas(module="web", least=4, most=None),)
    return Campaign(name="sale", start=start, end=end, zone=zone, first_day=first, last_day=last, modules=only)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


FRIDAY = ("0 8 * * FRI", "0 22 * * FRI")


@pytest.mark.parametrize(
    ("one", "now", "active"),
    [
        pytest.param(campaign(*FRIDAY), "2026-11-27T07:59:59", False, id="not yet a second before its start"),
        pytest.param(campaign(*FRIDAY), "2026-11-27T08:00:00", True, id="from its start"),
        pytest.param(campaign(*FRIDAY), "2026-11-27T21:59:59", True, id="until its end"),
        pytest.param(campaign(*FRIDAY), "2026-11-27T22:00:00", False, id="over at its end"),
        pytest.param(campaign(*FRIDAY), "2026-11-26T12:00:00", False, id="not on another day"),
        pytest.param(campaign(*FRIDAY, zone="Europe/Berlin"), "2026-11-27T07:00:00", True, id="winter time in Berlin"),
        pytest.param(campaign(*FRIDAY, zone="Europe/Berlin"), "2026-07-03T06:00:00", True, id="summer time in Berlin"),
        pytest.param(campaign(*FRIDAY, zone="Europe/Berlin"), "2026-11-27T06:59:00", False, id="an hour is not two"),
        pytest.param(campaign("0 22 * * *", "0 6 * * *"), "2026-11-27T03:00:00", True, id="over midnight"),
        pytest.param(
            campaign(*FRIDAY, first="2026-11-28", last="2026-12-31"), "2026-11-27T12:00:00", False, id="before its days"
        ),
        pytest.param(
            campaign(*FRIDAY, first="2026-11-20", last="2026-11-26"), "2026-11-27T12:00:00", False, id="after its days"
        ),
        pytest.param(
            campaign(*FRIDAY, first="2026-11-27", last="2026-11-27"), "2026-11-27T12:00:00", True, id="on its only day"
        ),
    ],
)
def test_whether_a_campaign_runs(one: Campaign, now: str, active: bool) -> None:
    assert is_active(one, at(now)) is active


CRONS = st.sampled_from(["0 8 * * *", "30 17 * * MON-FRI", "0 0 1 * *", "15 */6 * * *", "0 2 * * SUN"])
TIMES = st.integers(0, 700 * 86_400).map(lambda seconds: at("2026-01-01T00:00:00") + timedelta(seconds=seconds))


@given(CRONS, CRONS, st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York"]), TIMES)
def test_nothing_turns_before_the_next_turn(start: str, end: str, zone: str, now: datetime) -> None:
    one = campaign(start, end, zone=zone)
    turn = next_turn(one, now)
    assert turn is not None
    assert turn > now
    before = turn - timedelta(seconds=1)
    if before > now:
        assert is_active(one, before) == is_active(one, now)


def test_after_its_last_day_it_never_turns_again() -> None:
    assert next_turn(campaign(*FRIDAY, last="2026-11-26"), at("2026-11-28T00:00:00")) is None


@pytest.mark.parametrize(
    ("expression", "never"),
    [
        pytest.param("0 8 * * FRI", False, id="a weekly time"),
        pytest.param("0 8 30 2 *", True, id="a day that no year has"),
        pytest.param("no cron at all", True, id="words"),
    ],
)
def test_which_times_never_come(expression: str, never: bool) -> None:
    assert never_comes(expression) is never
