"""From samples to replicas, and the sentence that a status carries."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.following import Row, added, begun, explained, following, next_campaign_turn, not_beyond
from tenantry.tenancy.scaling import Basis, Cap, Sample, Target, steady
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec
from tests.unit.conftest import Resolve
from tests.unit.strategies import modules

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RUNNING = {"web": 2, "messaging-email": 1, "scoring": 1, "messaging-failed": 1}
OFF_SEASON = 'scaling: {calendar: [{name: off, start: "0 8 * * *", end: "0 22 * * *", modules: {web: {most: %d}}}]}'


@pytest.fixture
def operated(cell: Cell) -> Cell:
    return cell.model_copy(update={"spec": cell.spec.model_copy(update={"operator": True})})


def email(spec: TenantSpec) -> ModuleSpec:
    return next(one for one in spec.workload.modules if one.name == "messaging-email")


def replicas(targets: tuple[Target, ...]) -> dict[str, int]:
    return {one.module: one.replicas for one in targets}


def ago(seconds: float, count: int) -> Sample:
    return Sample(at=NOW - timedelta(seconds=seconds), replicas=count, why=f"{count} needed")


@pytest.mark.parametrize(
    ("lines", "running", "samples", "expected"),
    [
        pytest.param((), RUNNING, {}, RUNNING, id="what runs as it should stays"),
        pytest.param((), {**RUNNING, "scoring": 0}, {}, RUNNING, id="what lacks its minimum gets it"),
        pytest.param((), RUNNING, {"messaging-email": (ago(5, 3),)}, {**RUNNING, "messaging-email": 3}, id="load"),
        pytest.param((), {"web": 5}, {}, {"web": 5}, id="an autoscaler's number is its own"),
        pytest.param(
            ("modules: {scoring: {scale: 3}, web: {scale: 1}}",),
            RUNNING,
            {},
            {**RUNNING, "scoring": 3, "web": 1},
            id="by hand, also what an autoscaler had",
        ),
        pytest.param((OFF_SEASON % 0,), RUNNING, {}, {**RUNNING, "web": 0}, id="off season an autoscaler is stopped"),
        pytest.param((OFF_SEASON % 1,), {**RUNNING, "web": 0}, {}, {**RUNNING, "web": 1}, id="and started again"),
        pytest.param(
            ("scaling: {idle: zero}",),
            RUNNING,
            {"scoring": (ago(400, 1), ago(290, 0))},
            {**RUNNING, "scoring": 0},
            id="idle to zero",
        ),
    ],
)
def test_what_modules_should_have(
    resolve_text: Resolve,
    operated: Cell,
    lines: tuple[str, ...],
    running: dict[str, int],
    samples: dict[str, tuple[Sample, ...]],
    expected: dict[str, int],
) -> None:
    spec = resolve_text(*lines, cell=operated)
    assert replicas(following(spec, running, samples, NOW)) == expected


def test_a_resumed_tenant_gets_back_what_it_had_until_it_was_watched_long_enough(
    resolve_text: Resolve, operated: Cell
) -> None:
    spec = resolve_text(cell=operated)
    samples = {"messaging-email": (begun(1, 3, NOW), Sample(at=NOW, replicas=0, why="", basis=Basis.IDLE))}
    at_once = following(spec, RUNNING, samples, NOW)
    assert replicas(at_once)["messaging-email"] == 3
    later = NOW + timedelta(seconds=301)
    quiet = {"messaging-email": added(samples["messaging-email"], Sample(at=later, replicas=0, why=""), email(spec))}
    assert replicas(following(spec, {**RUNNING, "messaging-email": 3}, quiet, later))["messaging-email"] == 1


@given(
    modules(),
    st.lists(st.tuples(st.floats(0, 900), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(0, 60),
)
def test_samples_that_are_left_out_decide_nothing(
    drawn_module: ModuleSpec, drawn: list[tuple[float, int]], running: int, raise_after_s: int
) -> None:
    module = dataclasses.replace(drawn_module, raise_after_s=raise_after_s, lower_after_s=300)
    every = [ago(*pair) for pair in sorted(drawn, reverse=True)]
    few: tuple[Sample, ...] = ()
    for index, one in enumerate(every):
        few = added(few, one, module)
        whole = steady(every[: index + 1], module, running=running, now=one.at)
        assert steady(few, module, running=running, now=one.at).replicas == whole.replicas


@pytest.mark.parametrize(
    ("running", "needed", "expected"),
    [
        pytest.param(2, 6, 2, id="what was lowered to the new maximum is not raised again"),
        pytest.param(1, 6, 2, id="below it load counts, up to it"),
        pytest.param(1, 2, 2, id="what it allows is given"),
        pytest.param(5, 6, 5, id="what runs beyond it is not lowered before its time"),
        pytest.param(5, 3, 3, id="but goes down with its load"),
    ],
)
def test_nothing_is_raised_above_what_the_next_run_allows(
    resolve_text: Resolve, operated: Cell, running: int, needed: int, expected: int
) -> None:
    spec = resolve_text(cell=operated)
    scoring = next(one for one in spec.workload.modules if one.name == "scoring")
    lowered = dataclasses.replace(scoring, replicas_max=2)
    workload = dataclasses.replace(
        spec.workload,
        modules=tuple(lowered if one.name == lowered.name else one for one in spec.workload.modules),
    )
    wanted = dataclasses.replace(spec, workload=workload)
    asked = target(needed, "messages 1200")
    (held,) = not_beyond((asked,), wanted, {asked.module: running})
    assert held.replicas == expected
    assert held.cap is (Cap.PLAN if expected < needed else None)


def target(count: int, why: str, basis: Basis = Basis.DEMAND, cap: Cap | None = None) -> Target:
    return Target(module="scoring", replicas=count, why=why, basis=basis, cap=cap)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        pytest.param(target(2, "hits 1900"), "hits 1500", id="figures that move are no news"),
        pytest.param(target(2, "watching", Basis.STEADYING), "hits 1500", id="nor is watching"),
        pytest.param(target(3, "hits 2500"), "hits 2500", id="another number is"),
        pytest.param(target(2, "set by hand", Basis.BY_HAND), "set by hand", id="another kind of reason is"),
        pytest.param(target(2, "hits 9000; no room", cap=Cap.QUOTA), "hits 9000; no room", id="a cap is"),
    ],
)
def test_a_sentence_is_written_anew_only_where_it_says_something_new(second: Target, told: str) -> None:
    first = explained([Row(target=target(2, "hits 1500"), ready=2)], [])
    (row,) = explained([Row(target=second, ready=2)], first)
    assert row["why"] == told
    assert explained([Row(target=second, ready=2)], [row]) == [row]


@pytest.mark.parametrize(("basis", "why"), [(Basis.BY_HAND, "set by hand"), (Basis.CAMPAIGN, "campaign black-friday")])
def test_what_people_no_longer_say_is_not_told_while_demand_is_watched(basis: Basis, why: str) -> None:
    first = explained([Row(target=target(3, why, basis), ready=3)], [])
    (row,) = explained([Row(target=target(3, "as it ran", Basis.STEADYING), ready=3)], first)
    assert (row["why"], row["basis"], row["replicas"]) == ("as it ran", "Steadying", 3)
    assert explained([Row(target=target(3, "not measured yet", Basis.STEADYING), ready=3)], [row]) == [row]


def test_the_next_turn_of_a_calendar_is_known(resolve_text: Resolve, operated: Cell) -> None:
    spec = resolve_text(OFF_SEASON % 1, cell=operated)
    assert next_campaign_turn(spec, NOW) == datetime(2026, 11, 27, 22, tzinfo=UTC)
    assert next_campaign_turn(resolve_text(cell=operated), NOW) is None
