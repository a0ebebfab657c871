"""Releases: whatever is interrupted and whatever fails, the tenant ends old or new, and once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.release import End, Release, Step, Version, decide, gives_up
from tenantry.tenancy.spec import Hold

NOW = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
OLD, NEW = Version(release="1", template_version=1), Version(release="2", template_version=1)
FORWARD = [step for step in Step if step not in (Step.CLEAR, Step.RESTORE, Step.REOPEN)]


def asked() -> Release:
    return Release(
        name="acme", incarnation="abcd2345", namespace="t-acme-abcd2345", before=OLD, after=NEW, by="spec",
        requested_at=NOW,
    )  # fmt: skip


@dataclass
class World:
    """The tenant as the steps leave it: image, data, what is held, and the copy that was kept aside."""

    image: str = "old"
    data: str = "old"
    hold: Hold = Hold.NONE
    kept: str | None = None
    migrating: bool = False
    served: list[tuple[str, str]] = field(default_factory=list)

    def take(self, step: Step) -> None:
        match step:
            case Step.PAUSE:
                self.hold = Hold.PAUSED
            case Step.DRAIN:
                self.hold = Hold.STOPPED
            case Step.SNAPSHOT:
                assert self.hold is Hold.STOPPED
                self.kept = self.data
            case Step.MIGRATE:
                assert self.kept is not None
                self.image, self.hold, self.data = "new", Hold.MIGRATING, "new"
            case Step.ROLL:
                self.hold = Hold.PROVING
            case Step.OPEN:
                self.hold = Hold.NONE
            case Step.CLEAR:
                self.hold = Hold.STOPPED
            case Step.RESTORE:
                assert self.hold is Hold.STOPPED
                assert self.kept is not None
                self.data = self.kept
            case Step.REOPEN:
                self.image, self.hold = "old", Hold.NONE
            case Step.CHECK | Step.VERIFY | Step.COMMIT:
                pass
        if self.hold in (Hold.NONE, Hold.PAUSED):
            self.served.append((self.image, self.data))


@given(
    interrupted=st.lists(st.tuples(st.sampled_from(Step), st.sampled_from(["before", "half", "after"])), max_size=6),
    failing=st.none() | st.sampled_from(FORWARD),
    data=st.data(),
)
def test_however_it_is_interrupted_and_whatever_fails_it_ends_old_or_new_and_serves_nothing_mixed(
    interrupted: list[tuple[Step, str]], failing: Step | None, data: st.DataObject
) -> None:
    world, journal = World(), asked()
    cuts = list(interrupted)
    for _ in range(100):
        decision = decide(journal)
        if decision.step is None:
            break
        step = decision.step
        journal = journal.beginning(step, NOW)
        if (step, "before") in cuts:
            cuts.remove((step, "before"))
            continue
        if step is failing and not journal.forward_only:
            if data.draw(st.booleans()):
                world.take(step)  # it acted, and failed all the same
            journal = journal.turned_back("it failed")
            continue
        world.take(step)
        if (step, "half") in cuts:
            cuts.remove((step, "half"))
            continue
        journal = journal.with_done(step, NOW)
    end = decide(journal).end
    assert end is not None
    assert world.hold is Hold.NONE
    assert set(world.served) <= {("old", "old"), ("new", "new")}
    went_wrong = failing is not None and failing not in (Step.OPEN, Step.COMMIT)
    assert (world.image, world.data) == (("old", "old") if went_wrong else ("new", "new"))
    assert end is (End.RELEASED if not went_wrong else End.REFUSED if failing is Step.CHECK else End.ROLLED_BACK)
    assert decide(journal.ended(end, NOW)).step is None


@pytest.mark.parametrize(
    ("begun", "back"),
    [
        pytest.param(Step.CHECK, [], id="a refused release touches nothing"),
        pytest.param(Step.PAUSE, [Step.REOPEN], id="before the migration only what was closed is opened"),
        pytest.param(Step.SNAPSHOT, [Step.REOPEN], id="a database that nothing changed is not put back"),
        pytest.param(Step.MIGRATE, [Step.CLEAR, Step.RESTORE, Step.REOPEN], id="a migration that began is undone"),
        pytest.param(Step.VERIFY, [Step.CLEAR, Step.RESTORE, Step.REOPEN], id="an unsound version is undone"),
    ],
)
def test_the_way_back_undoes_what_was_done(begun: Step, back: list[Step]) -> None:
    journal = asked()
    for step in FORWARD[: FORWARD.index(begun)]:
        journal = journal.beginning(step, NOW).with_done(step, NOW)
    journal = journal.beginning(begun, NOW).turned_back("it failed")
    taken = []
    while (step := decide(journal).step) is not None:
        taken.append(step)
        journal = journal.beginning(step, NOW).with_done(step, NOW)
    assert taken == back


def test_once_traffic_may_be_back_there_is_no_way_back() -> None:
    journal = asked().beginning(Step.OPEN, NOW)
    with pytest.raises(ValueError, match="only goes forward"):
        journal.turned_back("too late")
    failing = journal
    for _ in range(50):
        failing = failing.with_failure(code="RunFailed", message="no", now=NOW)
    assert not gives_up(failing, NOW + timedelta(days=1), missing=False)


@pytest.mark.parametrize(
    ("failures", "later", "missing", "ends"),
    [
        pytest.param(2, timedelta(hours=9), False, False, id="two failures are tried again"),
        pytest.param(3, timedelta(0), False, True, id="the third failure in a row ends it"),
        pytest.param(9, timedelta(minutes=29), True, False, id="a system that is away is waited for"),
        pytest.param(9, timedelta(minutes=30), True, True, id="but not for ever"),
    ],
)
def test_when_an_attempt_is_given_up(failures: int, later: timedelta, missing: bool, ends: bool) -> None:
    journal = asked().beginning(Step.MIGRATE, NOW)
    for _ in range(failures):
        journal = journal.with_failure(code="x", message="no", now=NOW)
    assert gives_up(journal, NOW + later, missing=missing) is ends


def test_a_step_that_goes_on_keeps_its_beginning_and_its_failures_and_the_next_has_none() -> None:
    journal = asked().beginning(Step.DRAIN, NOW).with_failure(code="x", message="no", now=NOW)
    assert journal.beginning(Step.DRAIN, NOW + timedelta(hours=1)) == journal
    assert journal.beginning(Step.SNAPSHOT, NOW).failure is None
