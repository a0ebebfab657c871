"""Deletions: which step comes next, whatever interrupts, and what the certificate may promise."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.cell import Copies
from tenantry.tenancy.deletion import (
    ERASING,
    Deletion,
    Step,
    again,
    decide,
    retained_copies,
    retry_after,
    unrecoverable_on,
)
from tenantry.tenancy.spec import DeletionPolicy

ASKED = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
DUE = ASKED + timedelta(days=7)
DAY = date(2026, 12, 1)


def deletion(**changes: object) -> Deletion:
    return Deletion(
        name="acme",
        incarnation="abcd2345",
        namespace="t-acme-abcd2345",
        hosts=("acme.example",),
        policy=DeletionPolicy.BACKUP_THEN_DELETE,
        requested_at=ASKED,
        requested_by="somebody",
        due_at=DUE,
    ).model_copy(update=changes)


def test_the_first_step_closes_the_tenant_also_when_it_is_due_already() -> None:
    assert decide(deletion(), ASKED).step is Step.CLOSE
    assert decide(deletion(), DUE + timedelta(days=1)).step is Step.CLOSE


def test_nothing_happens_within_the_grace_period() -> None:
    closed = deletion().with_done(Step.CLOSE, ASKED)
    decision = decide(closed, DUE - timedelta(seconds=1))
    assert (decision.step, decision.again_at) == (None, DUE)
    assert "until 2026-12-01 04:00 UTC" in decision.sentence


def test_erasing_that_began_goes_on_though_a_clock_was_set_back() -> None:
    begun = deletion(erasing_since=DUE).with_done(Step.CLOSE, ASKED)
    assert decide(begun, ASKED).step is Step.BACKUP


@given(done=st.sets(st.sampled_from(Step)), now=st.datetimes(timezones=st.just(UTC)), begun=st.booleans())
def test_a_cancelled_deletion_never_takes_a_step(done: set[Step], now: datetime, begun: bool) -> None:
    one = deletion(done=dict.fromkeys(done, ASKED), cancelled_at=ASKED, erasing_since=DUE if begun else None)
    assert decide(one, now).step is None


@given(kills=st.lists(st.sampled_from(["before", "after"]), max_size=40))
def test_kills_between_acting_and_noting_repeat_a_step_and_skip_none(kills: list[str]) -> None:
    """A kill before the note makes the step act twice; one after it, once. The order and the end are the same."""
    one, acted, pending = deletion(), [], list(kills)
    for _ in range(200):
        decision = decide(one, DUE)
        if decision.step is None:
            break
        acted.append(decision.step)
        if pending and pending.pop(0) == "before":
            continue  # killed: acted, not noted
        one = one.with_done(decision.step, DUE)
    assert set(one.done) == set(Step)
    assert list(dict.fromkeys(acted)) == list(Step)
    assert acted == sorted(acted, key=list(Step).index)


@given(done=st.integers(0, len(Step)), now=st.datetimes(timezones=st.just(UTC)))
def test_no_erasing_step_before_its_time(done: int, now: datetime) -> None:
    one = deletion(done=dict.fromkeys(list(Step)[:done], ASKED))
    if now < DUE:
        assert decide(one, now).step not in ERASING | {Step.BACKUP, Step.SURVEY}


def test_after_a_trace_was_found_all_that_erases_is_due_again_and_the_backup_is_not() -> None:
    whole = deletion(done=dict.fromkeys(list(Step)[: list(Step).index(Step.INVENTORY)], DUE), erasing_since=DUE)
    repeated = again(whole)
    assert set(repeated.done) == {Step.CLOSE, Step.BACKUP, Step.SURVEY}
    assert decide(repeated, DUE).step is Step.STACK


def test_a_failure_counts_while_the_same_step_fails_and_is_gone_when_it_works() -> None:
    failing = deletion()
    for attempt in (1, 2, 3):
        failing = failing.with_failure(Step.CLOSE, code="X", message="down", hint=None, now=ASKED)
        assert failing.failure is not None
        assert (failing.failure.attempts, failing.failure.since) == (attempt, ASKED)
    other = failing.with_failure(Step.STACK, code="X", message="down", hint=None, now=DUE)
    assert other.failure is not None
    assert (other.failure.attempts, other.failure.since) == (1, DUE)
    assert failing.with_done(Step.CLOSE, ASKED).failure is None


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 10), (5, 80), (9, 600), (1000, 600)])
def test_retries_wait_longer_each_time_up_to_ten_minutes(attempts: int, seconds: int) -> None:
    failure = deletion().with_failure(Step.CLOSE, code="X", message="down", hint=None, now=ASKED).failure
    assert failure is not None
    assert retry_after(failure.model_copy(update={"attempts": attempts})) == timedelta(seconds=seconds)


@given(
    days=st.lists(st.integers(0, 4000), min_size=6, max_size=6),
    policy=st.sampled_from([DeletionPolicy.DELETE, DeletionPolicy.BACKUP_THEN_DELETE]),
)
def test_unrecoverable_waits_for_every_copy_of_a_key_or_of_data_and_for_no_other(
    days: list[int], policy: DeletionPolicy
) -> None:
    snapshots, logs, physical, history, audit, backups = days
    copies = Copies(
        openbao_snapshot_days=snapshots,
        binary_log_days=logs,
        physical_backup_days=physical,
        state_history_days=history,
        audit_log_days=audit,
        tenant_backup_days=backups,
    )
    retained = retained_copies(copies, policy, DAY)
    assert unrecoverable_on(retained, DAY) == DAY + timedelta(days=max(snapshots, logs, physical, history))
    assert all(one.days and one.until == DAY + timedelta(days=one.days) for one in retained)
    kept = any(one.what.startswith("backups") for one in retained)
    assert kept == (backups > 0 and policy is not DeletionPolicy.DELETE)
