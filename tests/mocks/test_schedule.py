"""Minutes of scheduled tasks, spread over tenants."""

from __future__ import annotations

import pytest

from tenantry_components.schedule import offset_minutes, spread


@pytest.mark.parametrize(
    ("schedule", "offset", "expected"),
    [
        pytest.param("0,15,30,45 * * * *", 7, "7,22,37,52 * * * *", id="a list moves as a whole"),
        pytest.param("55 2 * * *", 7, "2 2 * * *", id="past the hour it comes round in the same hour"),
        pytest.param("*/20 * * * *", 27, "7,27,47 * * * *", id="a step keeps its distance"),
        pytest.param("* * * * *", 7, "* * * * *", id="every minute stays every minute"),
        pytest.param("0-10 * * * *", 7, "0-10 * * * *", id="a range stays as it is written"),
        pytest.param("0 3 * * 1", 0, "0 3 * * 1", id="no offset changes nothing"),
    ],
)
def test_spread(schedule: str, offset: int, expected: str) -> None:
    assert spread(schedule, offset) == expected


def test_tenants_are_spread_over_the_whole_window() -> None:
    found = {offset_minutes(f"t-tenant-{number:08}", 15) for number in range(500)}
    assert found == set(range(15))
