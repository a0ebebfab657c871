"""Which backups are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.backup.manifest import new_id, taken_at
from tenantry.backup.retention import Retention

_MOMENTS = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_IDS = st.lists(_MOMENTS.map(new_id), max_size=40, unique=True)
_COUNTS = st.integers(min_value=0, max_value=10)
_RETENTIONS = st.builds(Retention, daily=_COUNTS, weekly=_COUNTS, monthly=_COUNTS)


def _id(text: str) -> str:
    return datetime.fromisoformat(text + "+00:00").strftime("%Y%m%dT%H%M%SZ") + "-00000000"


@pytest.mark.parametrize(
    ("retention", "taken", "expired"),
    [
        pytest.param((0, 0, 0), [], [], id="nothing gives nothing"),
        pytest.param((0, 0, 0), ["2026-11-01T01:00:00"], [], id="the last one stays though nothing is to be kept"),
        pytest.param(
            (2, 0, 0),
            ["2026-11-01T01:00:00", "2026-11-02T01:00:00", "2026-11-02T09:00:00", "2026-11-03T01:00:00"],
            ["2026-11-01T01:00:00", "2026-11-02T01:00:00"],
            id="the newest of each of the last two days",
        ),
        pytest.param(
            (2, 0, 0),
            ["2025-01-01T01:00:00", "2026-11-03T01:00:00"],
            [],
            id="days without a backup do not count",
        ),
        pytest.param(
            (1, 2, 0),
            ["2026-12-27T01:00:00", "2026-12-28T01:00:00", "2027-01-03T01:00:00"],
            ["2026-12-28T01:00:00"],
            id="an ISO week goes over the end of the year",
        ),
        pytest.param(
            (1, 0, 2),
            ["2026-09-30T23:59:59", "2026-10-01T00:00:00", "2026-10-31T01:00:00", "2026-11-02T01:00:00"],
            ["2026-09-30T23:59:59", "2026-10-01T00:00:00"],
            id="the newest of each of two months",
        ),
    ],
)
def test_expired(retention: tuple[int, int, int], taken: list[str], expired: list[str]) -> None:
    daily, weekly, monthly = retention
    kept = Retention(daily=daily, weekly=weekly, monthly=monthly)
    assert kept.expired([_id(text) for text in taken]) == tuple(_id(text) for text in expired)


@given(_RETENTIONS, _IDS)
def test_the_newest_is_never_pruned_and_pruning_again_prunes_nothing(retention: Retention, taken: list[str]) -> None:
    expired = retention.expired(taken)
    left = set(taken) - set(expired)
    assert (max(taken) in left) if taken else not left
    assert retention.expired(left) == ()


@given(_RETENTIONS, _IDS)
def test_keeping_more_prunes_no_more(retention: Retention, taken: list[str]) -> None:
    more = Retention(daily=retention.daily + 1, weekly=retention.weekly, monthly=retention.monthly + 2)
    assert set(more.expired(taken)) <= set(retention.expired(taken))


@given(_MOMENTS)
def test_an_id_tells_when_to_the_second(moment: datetime) -> None:
    assert timedelta() <= moment - taken_at(new_id(moment)) < timedelta(seconds=1)
