"""When the database server is copied next, and when that is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tenantry.tenancy.physical_standing import PhysicalStanding

MADE = datetime(2026, 11, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("taken", "needed_since", "due_at"),
    [
        pytest.param((), None, None, id="nobody could be brought back"),
        pytest.param((MADE,), None, None, id="nobody is left to be brought back"),
        pytest.param((), MADE, MADE, id="the first, soon after the first tenant"),
        pytest.param((MADE,), MADE - HOUR, MADE + 24 * HOUR, id="a day after the last"),
        pytest.param((MADE, MADE + HOUR), MADE, MADE + 25 * HOUR, id="the last counts"),
    ],
)
def test_when_the_next_is_due(
    taken: tuple[datetime, ...], needed_since: datetime | None, due_at: datetime | None
) -> None:
    standing = PhysicalStanding(taken=taken, needed_since=needed_since, every=24 * HOUR)
    assert standing.due_at == due_at
    if due_at is None:
        assert not standing.overdue(MADE + timedelta(days=365))
    else:
        assert not standing.overdue(due_at + 6 * HOUR)
        assert standing.overdue(due_at + 6 * HOUR + timedelta(seconds=1))
