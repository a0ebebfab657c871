"""What is due of a tenant's backups, what a wish asks for, and how a restore goes on from where it stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.recovery import (
    Backups,
    Goal,
    Kept,
    Proof,
    Restoration,
    Step,
    Task,
    due,
    next_step,
    overdue,
    parse_goal,
)

_NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
_MADE = _NOW - timedelta(days=30)
_DAILY = "15 1 * * *"
_ID = "20261126T011500Z-0a1b2c3d"
_OTHER = "20261125T011500Z-0a1b2c3d"
_LAST = Kept(id=_ID, taken_at=datetime(2026, 11, 26, 1, 15, tzinfo=UTC), size=10, release="7.1.3")
_NEXT = datetime(2026, 11, 27, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "too_long"),
    [
        pytest.param({}, False, id="never stopped"),
        pytest.param({"stopped_since": _NOW - timedelta(minutes=15)}, False, id="a quarter of an hour"),
        pytest.param({"stopped_since": _NOW - timedelta(minutes=16)}, True, id="longer, still stopping"),
        pytest.param(
            {"stopped_since": _NOW - timedelta(minutes=16), "done": {Step.STOP: _NOW}}, True, id="longer, just stopped"
        ),
        pytest.param({"done": {Step.STOP: _NOW - timedelta(minutes=16)}}, True, id="a journal of an earlier version"),
    ],
)
def test_a_workload_waits_stopped_for_a_quarter_of_an_hour(changes: dict[str, object], too_long: bool) -> None:
    restoration = Restoration(asked="x", goal=Goal(), requested_at=_NOW).model_copy(update=changes)
    assert restoration.waits_too_long(_NOW) is too_long


def _proof(identifier: str = _ID, *, days_ago: float = 0.0, problem: str = "") -> Proof:
    return Proof(id=identifier, at=_NOW - timedelta(days=days_ago), rows=1, problem=problem)


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        pytest.param("latest", Goal(), id="the newest"),
        pytest.param(_ID, Goal(backup=_ID), id="a backup by its id"),
        pytest.param("latest#2", Goal(), id="the newest once more"),
        pytest.param(f"{_ID} # again", Goal(backup=_ID), id="a backup once more"),
        pytest.param(
            "2026-11-26T01:02:03Z", Goal(at=datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)), id="a moment in UTC"
        ),
        pytest.param(
            "2026-11-26T02:02:03+01:00", Goal(at=datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)), id="a moment elsewhere"
        ),
    ],
)
def test_a_wish_is_read(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize("text", ["", "requested", "2026-11-26", "2026-11-26T01:02:03", _ID[:-1], "#latest"])
def test_a_wish_that_names_nothing_says_what_to_write(text: str) -> None:
    with pytest.raises(InvalidInput, match="names nothing") as caught:
        parse_goal(text)
    assert "tenantry tenant backups" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("backups", "asked", "task", "at"),
    [
        pytest.param(Backups(), "x", Task.TAKE, _MADE, id="what is asked for comes at once"),
        pytest.param(
            Backups(last=_LAST, asked="x", proof=_proof()), "x", Task.TAKE, _NEXT, id="a wish that was served is none"
        ),
        pytest.param(
            Backups(), "", Task.TAKE, datetime(2026, 10, 28, 1, 15, tzinfo=UTC), id="the first by the schedule"
        ),
        pytest.param(Backups(last=_LAST, proof=_proof()), "", Task.TAKE, _NEXT, id="the next by the schedule"),
        pytest.param(
            Backups(last=_LAST, seen_at=_NOW + timedelta(days=1), proof=_proof()),
            "",
            Task.TAKE,
            datetime(2026, 11, 28, 1, 15, tzinfo=UTC),
            id="a store that was looked at is looked at again at the next time",
        ),
        pytest.param(
            Backups(last=_LAST, proof=_proof(_OTHER, days_ago=8)),
            "",
            Task.PROVE,
            _NOW - timedelta(days=1),
            id="a week after the last proof a newer backup is proven",
        ),
        pytest.param(
            Backups(last=_LAST, proof=_proof(_OTHER, days_ago=2, problem="p")),
            "",
            Task.PROVE,
            _NOW - timedelta(days=1),
            id="after a proof that failed, the next is tried a day later",
        ),
        pytest.param(
            Backups(last=_LAST, proof=_proof(days_ago=0.5, problem="p")),
            "",
            Task.PROVE,
            _NOW + timedelta(days=0.5),
            id="the same backup that did not come back is tried again",
        ),
    ],
)
def test_what_is_due_next(backups: Backups, asked: str, task: Task, at: datetime) -> None:
    found = due(backups, asked=asked, schedule=_DAILY, made_at=_MADE, name="acme")
    assert (found.task, found.at) == (task, at)


def test_the_first_backup_is_proven_within_an_hour_and_not_all_tenants_at_once() -> None:
    found = {
        due(Backups(last=_LAST), asked="", schedule=_DAILY, made_at=_MADE, name=f"tenant-{number}").at
        for number in range(50)
    }
    assert len(found) > 40
    assert all(_LAST.taken_at <= at <= _LAST.taken_at + timedelta(hours=1) for at in found)


@pytest.mark.parametrize(
    ("backups", "now", "late"),
    [
        pytest.param(Backups(last=_LAST), _NEXT, False, id="at its time"),
        pytest.param(Backups(last=_LAST), _NEXT + timedelta(hours=27), True, id="a day and more after it"),
        pytest.param(Backups(), _MADE + timedelta(hours=20), False, id="a new tenant has time for its first"),
        pytest.param(Backups(), _NOW, True, id="a tenant that never had one"),
    ],
)
def test_a_backup_that_did_not_come_is_overdue(backups: Backups, now: datetime, late: bool) -> None:
    assert overdue(backups, schedule=_DAILY, made_at=_MADE, now=now) is late


def _restoration(*done: Step, problem: str = "") -> Restoration:
    return Restoration(asked="x", goal=Goal(), requested_at=_NOW, done=dict.fromkeys(done, _NOW), problem=problem)


@pytest.mark.parametrize(
    ("replicas", "ended", "holds"),
    [
        pytest.param(None, False, False, id="while it loads, the workload runs"),
        pytest.param({}, False, True, id="a tenant of which nothing ran"),
        pytest.param({"web": 2}, False, True, id="the workload is stopped"),
        pytest.param({"web": 2}, True, False, id="it has ended"),
    ],
)
def test_a_restore_holds_others_back_while_the_workload_is_stopped(
    replicas: dict[str, int] | None, ended: bool, holds: bool
) -> None:
    told = _restoration().model_copy(update={"replicas": replicas, "ended_at": _NOW if ended else None})
    assert told.under_way is holds


@given(st.integers(min_value=0, max_value=len(Step)))
def test_a_restore_takes_its_steps_in_order_wherever_it_was_stopped(count: int) -> None:
    steps = list(Step)
    found = next_step(_restoration(*steps[:count]))
    assert found == (steps[count] if count < len(steps) else None)


@given(st.sets(st.sampled_from(list(Step))))
def test_a_restore_that_was_given_up_only_leads_back(done: set[Step]) -> None:
    restoration = _restoration(*done, problem="p")
    taken = []
    while (step := next_step(restoration)) is not None:
        taken.append(step)
        restoration = restoration.with_done(step, _NOW)
    assert set(taken) <= {Step.START, Step.CLEAN}


def test_there_is_a_way_back_until_the_swap_may_have_begun() -> None:
    steps = list(Step)
    ways = [_restoration(*steps[:count]).may_go_back for count in range(len(steps) + 1)]
    assert ways == [count <= steps.index(Step.SAVE) for count in range(len(steps) + 1)]
