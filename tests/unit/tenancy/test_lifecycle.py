"""What is decided for a tenant: rank, time, and the stages of an expiry."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.lifecycle import Claim, Phase, Stage, Verb, decide, expiry_of, phase_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WARNING, GRACE = timedelta(days=7), timedelta(days=3)

claims = st.lists(
    st.builds(
        Claim,
        verb=st.sampled_from(Verb),
        why=st.just("because"),
        at=st.integers(-100, 100).map(lambda hours: NOW + timedelta(hours=hours)),
    )
)


@given(claims)
def test_the_highest_rank_that_is_due_is_done(made: list[Claim]) -> None:
    decision = decide(made, NOW)
    due = [one.verb for one in made if one.at <= NOW]
    assert decision.verb == (min(due, key=list(Verb).index) if due else None)


@given(claims)
def test_doing_one_thing_after_the_other_comes_to_an_end(made: list[Claim]) -> None:
    left = list(made)
    for _ in range(len(made) + 1):
        decision = decide(left, NOW)
        if decision.verb is None:
            break
        left = [one for one in left if one.verb is not decision.verb or one.at > NOW]
    assert decision.verb is None
    assert decision.look_again_at == min((one.at for one in left), default=None)


@given(claims, st.sampled_from(Verb))
def test_what_is_under_way_holds_back_what_ranks_below_it_and_nothing_else(made: list[Claim], verb: Verb) -> None:
    order = list(Verb)
    allowed = [one for one in made if order.index(one.verb) <= order.index(verb)]
    assert decide(made, NOW, under_way=verb) == decide(allowed, NOW)


@given(claims)
def test_the_order_of_the_claims_decides_nothing(made: list[Claim]) -> None:
    assert decide(made, NOW) == decide(list(reversed(made)), NOW)


@pytest.mark.parametrize(
    ("day", "stage", "next_day"),
    [
        (date(2026, 12, 24), Stage.NONE, date(2026, 12, 17)),
        (date(2026, 12, 1), Stage.WARNED, date(2026, 12, 1)),
        (date(2026, 11, 25), Stage.WARNED, date(2026, 11, 25)),
        (date(2026, 11, 24), Stage.EXPIRED, date(2026, 11, 27)),
        (date(2026, 11, 22), Stage.EXPIRED, date(2026, 11, 25)),
        (date(2026, 11, 21), Stage.OVERDUE, None),
    ],
)
def test_an_environment_is_warned_expires_and_is_overdue(day: date, stage: Stage, next_day: date | None) -> None:
    expiry = expiry_of(day, NOW, warning=WARNING, grace=GRACE)
    assert expiry.stage is stage
    assert (expiry.next_at.date() if expiry.next_at else None) == next_day


def test_without_a_date_nothing_expires() -> None:
    assert expiry_of(None, NOW, warning=WARNING, grace=GRACE).stage is Stage.NONE


@given(st.dates(date(2026, 1, 1), date(2027, 12, 31)))
def test_the_next_stage_begins_when_it_is_said_to(day: date) -> None:
    expiry = expiry_of(day, NOW, warning=WARNING, grace=GRACE)
    if expiry.next_at is not None:
        assert expiry.next_at > NOW
        assert expiry_of(day, expiry.next_at, warning=WARNING, grace=GRACE).stage is not expiry.stage


@pytest.mark.parametrize(
    ("holds", "phase"),
    [
        ({"ready", "made"}, Phase.READY),
        ({"made"}, Phase.DEGRADED),
        (set(), Phase.PROVISIONING),
        ({"stalled", "made", "ready"}, Phase.STALLED),
        ({"suspended", "made", "ready"}, Phase.SUSPENDED),
        ({"expired", "suspended", "made", "ready"}, Phase.EXPIRED),
        ({"deleting", "stalled"}, Phase.DELETING),
    ],
)
def test_the_phase_is_the_most_telling_word(holds: set[str], phase: Phase) -> None:
    words = ("ready", "made", "stalled", "suspended", "expired", "deleting")
    assert phase_of(**{word: word in holds for word in words}) is phase
