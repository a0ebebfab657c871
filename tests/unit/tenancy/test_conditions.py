"""Conditions: a time moves only with its status, and what did not change is not written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status, read, rendered, transitions

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

conditions = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(ConditionType),
        status=st.sampled_from(Status),
        reason=st.sampled_from(Reason),
        message=st.text(max_size=40),
    ),
    unique_by=lambda one: one.type,
)


def ready(status: Status, reason: Reason = Reason.MODULES_READY, message: str = "") -> Condition:
    return Condition(type=ConditionType.READY, status=status, reason=reason, message=message)


@given(conditions, st.integers(1, 9))
def test_rendering_again_what_is_still_true_gives_the_same(found: list[Condition], generation: int) -> None:
    once = rendered([], found, generation=generation, now=NOON)
    assert rendered(once, found, generation=generation, now=NOON + timedelta(days=1)) == once
    assert transitions(once, once) == ()


@given(conditions, conditions)
def test_a_time_moves_exactly_when_the_status_does(before: list[Condition], after: list[Condition]) -> None:
    later = NOON + timedelta(hours=1)
    old = rendered([], before, generation=1, now=NOON)
    for one in rendered(old, after, generation=2, now=later):
        kept = read(old, ConditionType(one["type"]))
        same = kept is not None and kept["status"] == one["status"]
        assert one["lastTransitionTime"] == ("2026-11-24T12:00:00Z" if same else "2026-11-24T13:00:00Z")


def test_another_reason_is_worth_an_event_and_another_message_is_not() -> None:
    old = rendered([], [ready(Status.FALSE, Reason.RUN_UNFINISHED, "a")], generation=1, now=NOON)
    for reason, message, told in (
        (Reason.RUN_UNFINISHED, "b", False),
        (Reason.MODULES_NOT_READY, "a", True),
    ):
        new = rendered(old, [ready(Status.FALSE, reason, message)], generation=1, now=NOON)
        assert bool(transitions(old, new)) is told


def test_what_was_written_by_hand_is_put_right() -> None:
    edited = [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        {"type": "Nonsense", "status": "True"},
    ]
    (only,) = rendered(edited, [ready(Status.FALSE)], generation=3, now=NOON)
    assert only["status"] == "False"
    assert only["lastTransitionTime"] == "2026-11-24T12:00:00Z"
