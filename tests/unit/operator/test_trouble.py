"""What goes wrong: how long it waits, when it needs a hand, and what a person is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.conditions import Reason
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    Problem,
    RunFailed,
    StateCorrupt,
    TenantryError,
    Unsupported,
)
from tenantry.tenancy.lifecycle import Verb
from tenantry_operator.trouble import ATTEMPTS, Trouble, Troubles, another, wish_of, worst

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def after(error: TenantryError, times: int, jitter: float = 0.5) -> Trouble:
    trouble: Trouble | None = None
    for _ in range(times):
        trouble = another(error, trouble, verb=Verb.PROVISION, wish="1", now=NOW, jitter=jitter)
    assert trouble is not None
    return trouble


@pytest.mark.parametrize(
    ("error", "reason", "at_once"),
    [
        (InvalidInput("no"), Reason.INVALID_SPEC, True),
        (Conflict("no"), Reason.CONFLICT, True),
        (Unsupported("no"), Reason.UNSUPPORTED, True),
        (StateCorrupt("no"), Reason.STATE_CORRUPT, True),
        (Locked("no"), Reason.STACK_LOCKED, False),
        (DependencyUnavailable("no"), Reason.DEPENDENCY_UNAVAILABLE, False),
        (RunFailed("no"), Reason.RETRIES_EXHAUSTED, False),
    ],
)
def test_what_time_does_not_heal_needs_a_hand_at_once_the_rest_after_some_attempts(
    error: TenantryError, reason: Reason, at_once: bool
) -> None:
    assert after(error, 1).stalled is at_once
    assert after(error, ATTEMPTS).stalled
    assert after(error, 1).reason is reason


@given(st.integers(1, 50), st.floats(0, 1))
def test_the_delay_grows_and_is_bounded(times: int, jitter: float) -> None:
    delay = after(RunFailed("no"), times, jitter).again_at - NOW
    assert timedelta(seconds=1) < delay <= timedelta(minutes=12.5)
    assert after(RunFailed("no"), times + 1, jitter).again_at - NOW >= delay
    assert after(DependencyUnavailable("no"), times, jitter).again_at - NOW <= timedelta(seconds=75)


def test_an_edited_object_and_another_verb_begin_anew() -> None:
    held = after(RunFailed("no"), ATTEMPTS)
    assert held.holds_back(Verb.PROVISION, "1", NOW)
    assert not held.holds_back(Verb.PROVISION, "2", NOW)
    assert not held.holds_back(Verb.DEPROVISION, "1", NOW)
    fresh = another(RunFailed("no"), held, verb=Verb.PROVISION, wish="2", now=NOW, jitter=0)
    assert (fresh.attempts, fresh.stalled) == (1, False)


def fail(troubles: Troubles, verb: Verb | None, *, times: int = 1, wish: str = "1", now: datetime = NOW) -> None:
    for _ in range(times):
        troubles.failed("acme", verb, RunFailed(f"{verb} broke"), wish=wish, now=now, jitter=0.5)


def test_two_verbs_that_fail_in_turn_each_wait_longer_and_stall() -> None:
    troubles = Troubles()
    for _ in range(ATTEMPTS):
        fail(troubles, Verb.SCALE)
        fail(troubles, Verb.BACKUP)
        assert all(
            any(one.holds_back(verb, "1", NOW) for one in troubles.of("acme", "1"))
            for verb in (Verb.SCALE, Verb.BACKUP)
        )
    assert [(one.attempts, one.stalled) for one in troubles.of("acme", "1")] == [(ATTEMPTS, True)] * 2


def test_what_goes_well_ends_its_own_trouble_alone() -> None:
    troubles = Troubles()
    fail(troubles, Verb.SCALE, times=ATTEMPTS)
    fail(troubles, Verb.BACKUP, times=2)
    troubles.healed("acme", Verb.BACKUP)
    assert [(one.verb, one.attempts) for one in troubles.of("acme", "1")] == [(Verb.SCALE, ATTEMPTS)]
    assert troubles.stalled() == ("acme",)
    troubles.healed("acme", Verb.SCALE)
    assert troubles.of("acme", "1") == troubles.stalled() == ()


def test_the_worst_is_told_of() -> None:
    troubles = Troubles()
    assert worst(troubles.of("acme", "1")) is None
    fail(troubles, Verb.SCALE, times=ATTEMPTS - 1)
    troubles.failed("acme", Verb.BACKUP, Unsupported("no"), wish="1", now=NOW, jitter=0.5)
    told = worst(troubles.of("acme", "1"))
    assert told is not None
    assert told.verb is Verb.BACKUP
    fail(troubles, Verb.SCALE)
    assert worst(troubles.of("acme", "1")) != told
    troubles.failed("acme", None, InvalidInput("no"), wish="1", now=NOW, jitter=0.5)
    told = worst(troubles.of("acme", "1"))
    assert told is not None
    assert told.verb is None


def test_an_edited_object_and_one_that_is_gone_have_no_troubles() -> None:
    troubles = Troubles()
    fail(troubles, Verb.SCALE)
    assert troubles.of("acme", "2") == ()
    fail(troubles, Verb.SCALE, wish="2")
    troubles.forget("acme")
    assert troubles.of("acme", "2") == ()


def test_what_nobody_wants_any_more_is_no_trouble_once_its_time_has_come() -> None:
    troubles = Troubles()
    fail(troubles, Verb.SCALE)
    troubles.settle("acme", [Verb.BACKUP], NOW)
    assert troubles.of("acme", "1")
    troubles.settle("acme", [Verb.SCALE], NOW + timedelta(minutes=1))
    assert troubles.of("acme", "1")
    troubles.settle("acme", [Verb.BACKUP], NOW + timedelta(minutes=1))
    assert troubles.of("acme", "1") == ()


def test_a_person_is_told_each_problem_and_what_to_do() -> None:
    error = InvalidInput(
        "cannot be accepted", problems=(Problem(message="taken", path="spec.hosts[0]", hint="another"),)
    )
    assert after(error, 1).told == "cannot be accepted; spec.hosts[0]: taken (another)"
    assert after(RunFailed("broke", where="web", hint="again"), 1).told == "broke (web); again"


def test_another_annotation_of_ours_is_another_wish_and_anybody_elses_is_none() -> None:
    before = wish_of({"generation": 1, "annotations": {"tenantry.dev/upgrade": "9.9.9", "other/thing": "1"}})
    assert before == wish_of({"generation": 1, "annotations": {"tenantry.dev/upgrade": "9.9.9", "other/thing": "2"}})
    assert before != wish_of({"generation": 1, "annotations": {"tenantry.dev/upgrade": "7.1.3"}})
    assert before != wish_of({"generation": 2, "annotations": {"tenantry.dev/upgrade": "9.9.9"}})
