"""How many replicas, and why: steadied, combined, capped, explained."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.campaigns import Campaign, CampaignReplicas
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.quota import connections_needed, footprint_of
from tenantry.tenancy.scaling import (
    Ask,
    Basis,
    Cap,
    Reading,
    Sample,
    Span,
    asked,
    by_cpu,
    by_load,
    sample,
    span_of,
    steady,
    targets,
)
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec
from tests.unit.conftest import Resolve
from tests.unit.strategies import modules

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def operated(cell: Cell) -> Cell:
    return cell.model_copy(update={"spec": cell.spec.model_copy(update={"operator": True})})


@pytest.fixture
def spec(resolve_text: Resolve, operated: Cell) -> TenantSpec:
    return resolve_text(cell=operated)


def module(spec: TenantSpec, name: str) -> ModuleSpec:
    return next(one for one in spec.workload.modules if one.name == name)


def ago(seconds: int, replicas: int) -> Sample:
    return Sample(at=NOW - timedelta(seconds=seconds), replicas=replicas, why=f"{seconds} s ago")


@pytest.mark.parametrize(
    ("values", "running", "replicas"),
    [
        pytest.param({"messages": 0, "trigger-lag": 0}, 1, 0, id="nothing waits, nothing is needed"),
        pytest.param({"messages": 1, "trigger-lag": 0}, 1, 1, id="one message needs one replica"),
        pytest.param({"messages": 501, "trigger-lag": 0}, 1, 2, id="one more than a replica may have needs another"),
        pytest.param({"messages": 501, "trigger-lag": 9000}, 1, 5, id="the source that asks for most counts"),
        pytest.param({"trigger-lag": 0}, 3, 3, id="what cannot be read is taken for what runs"),
        pytest.param({"messages": 5000}, 3, 10, id="what is read may still ask for more"),
    ],
)
def test_what_sources_demand(spec: TenantSpec, values: dict[str, int], running: int, replicas: int) -> None:
    readings = [Reading(source=name, value=value) for name, value in values.items()]
    assert sample(module(spec, "messaging-email"), readings, running=running, at=NOW).replicas == replicas


@pytest.mark.parametrize(
    ("samples", "running", "raise_after_s", "replicas"),
    [
        pytest.param([ago(400, 1), ago(0, 4)], 1, 0, 4, id="raised at once"),
        pytest.param([ago(50, 1), ago(0, 4)], 1, 60, 1, id="not raised before the window is over"),
        pytest.param([ago(50, 3), ago(0, 4)], 1, 60, 3, id="raised to what was there all the time"),
        pytest.param([ago(299, 4), ago(0, 1)], 4, 0, 4, id="not lowered before the window is over"),
        pytest.param([ago(301, 4), ago(200, 2), ago(0, 1)], 4, 0, 2, id="lowered to the highest of the window"),
        pytest.param([ago(0, 4)], 4, 0, 4, id="a watch that has just begun lowers nothing"),
        pytest.param([], 4, 0, 4, id="without a watch nothing moves"),
        pytest.param([ago(20, 1), ago(2, 4)], 1, 0, 4, id="the last sample stands until the next"),
        pytest.param([ago(900, 4), ago(400, 2)], 4, 0, 2, id="also where the next is late"),
    ],
)
def test_steadying(spec: TenantSpec, samples: list[Sample], running: int, raise_after_s: int, replicas: int) -> None:
    one = dataclasses.replace(module(spec, "messaging-email"), raise_after_s=raise_after_s)
    assert steady(samples, one, running=running, now=NOW).replicas == replicas


WORKERS = st.builds(
    dataclasses.replace, modules(), raise_after_s=st.integers(0, 120), lower_after_s=st.integers(120, 900)
)


@given(WORKERS, st.lists(st.tuples(st.integers(0, 900), st.integers(0, 30)), max_size=20), st.integers(0, 30))
def test_steadying_again_after_scaling_changes_nothing(
    one: ModuleSpec, drawn: list[tuple[int, int]], running: int
) -> None:
    samples = [ago(*pair) for pair in sorted(drawn, reverse=True)]
    once = steady(samples, one, running=running, now=NOW).replicas
    assert steady(samples, one, running=once, now=NOW).replicas == once


@given(WORKERS, st.lists(st.integers(0, 30), min_size=2, max_size=40))
def test_within_the_window_it_only_ever_rises(one: ModuleSpec, demands: list[int]) -> None:
    running, samples, seen = 1, [ago(0, 1)], [1]
    for second, demand in enumerate(demands, start=1):
        now = NOW + timedelta(seconds=second)
        samples.append(Sample(at=now, replicas=demand, why=""))
        running = steady(samples, one, running=running, now=now).replicas
        seen.append(running)
    assert seen == sorted(seen)


def campaign(*, least: int | None = None, most: int | None = None, name: str = "sale") -> Campaign:
    only = (CampaignReplicas(module="messaging-email", least=least, most=most),)
    return Campaign(
        name=name, start="0 8 * * *", end="0 22 * * *", zone="Etc/UTC", first_day=None, last_day=None, modules=only
    )


@pytest.mark.parametrize(
    ("measured", "calendar", "by_hand", "idle", "replicas", "cap", "why"),
    [
        pytest.param(None, (), None, False, 1, None, "the plan's minimum", id="the plan's minimum"),
        pytest.param(2, (), None, False, 2, None, "measured", id="what is measured above it"),
        pytest.param(9, (), None, False, 3, Cap.PLAN, "measured", id="never above the module's maximum"),
        pytest.param(0, (), None, True, 0, None, "idle: nothing waits", id="idle to zero where the tenant says so"),
        pytest.param(0, (), None, False, 1, None, "the plan's minimum", id="idle to the minimum otherwise"),
        pytest.param(1, (campaign(least=3),), None, False, 3, None, "campaign sale", id="a campaign raises"),
        pytest.param(3, (campaign(most=0),), None, False, 0, Cap.CALENDAR, None, id="off season it is off"),
        pytest.param(3, (campaign(least=9),), None, False, 3, Cap.PLAN, "campaign sale", id="a campaign has its cap"),
        pytest.param(3, (campaign(least=3),), 0, False, 0, None, "set by hand", id="by hand goes before all"),
        pytest.param(0, (), 50, False, 3, Cap.PLAN, "set by hand", id="by hand has its cap"),
    ],
)
def test_what_is_asked(
    spec: TenantSpec,
    measured: int | None,
    calendar: tuple[Campaign, ...],
    by_hand: int | None,
    idle: bool,
    replicas: int,
    cap: Cap | None,
    why: str | None,
) -> None:
    found = None if measured is None else Sample(at=NOW, replicas=measured, why="measured")
    one = module(spec, "messaging-email")
    ask = asked(one, found, calendar=calendar, by_hand=by_hand, idle_to_zero=idle, now=NOW)
    assert (ask.replicas, ask.cap) == (replicas, cap)
    assert why is None or ask.why == why


NAMES = ("web", "messaging-email", "scoring", "messaging-failed")


@pytest.mark.parametrize("pods", [10, 25, 40, 80])
@pytest.mark.parametrize("connections", [45, 60, 100])
@pytest.mark.parametrize("wanted", [(1, 1, 1, 1), (4, 3, 3, 1), (0, 9, 9, 0), (20, 20, 20, 20)])
def test_never_above_quota_or_connections(
    spec: TenantSpec, pods: int, connections: int, wanted: tuple[int, ...]
) -> None:
    tight = dataclasses.replace(
        spec,
        quota=dataclasses.replace(spec.quota, pods=pods),
        database=dataclasses.replace(spec.database, connections=connections),
    )
    asks = [
        Ask(
            module=name,
            replicas=min(count, module(spec, name).replicas_max),
            why="it asks",
            wanted=count,
            basis=Basis.DEMAND,
        )
        for name, count in zip(NAMES, wanted, strict=True)
    ]
    decided = {one.module: one for one in targets(tight, asks)}
    assert all(decided[ask.module].replicas <= ask.replicas for ask in asks)
    shared = [module(spec, name) for name in NAMES if not by_cpu(spec, module(spec, name))]
    others = [one for one in spec.workload.modules if one not in shared]
    used = sum(
        (decided[one.name].replicas + 1) * one.database_connections for one in shared if decided[one.name].replicas
    )
    assert used <= max(0, connections - connections_needed(others) - 1)
    for one in decided.values():
        ask = next(found for found in asks if found.module == one.module)
        assert (one.replicas < ask.replicas) == (one.cap in (Cap.QUOTA, Cap.CONNECTIONS))
        assert targets(tight, asks) == tuple(decided.values())


def test_what_shares_a_scarce_budget_grows_in_turn(spec: TenantSpec) -> None:
    shared = [one for one in spec.workload.modules if one.sources]
    others = [one for one in spec.workload.modules if not one.sources]
    room = connections_needed(others) + 1 + sum(3 * one.database_connections for one in shared)
    tight = dataclasses.replace(spec, database=dataclasses.replace(spec.database, connections=room))
    asks = [
        Ask(module=one.name, replicas=one.replicas_max, why="it asks", wanted=9, basis=Basis.DEMAND) for one in shared
    ]
    found = {one.module: one.replicas for one in targets(tight, asks)}
    assert abs(found["messaging-email"] - found["scoring"]) <= 1
    assert found["messaging-failed"] == 1
    assert all("do not suffice" in one.why for one in targets(tight, asks) if one.cap is Cap.CONNECTIONS)


def test_a_whole_plan_fits_its_own_caps(spec: TenantSpec) -> None:
    asks = [
        Ask(module=one.name, replicas=one.replicas_max, why="it asks", wanted=one.replicas_max, basis=Basis.DEMAND)
        for one in spec.workload.modules
        if one.name in NAMES
    ]
    assert all(one.cap is None for one in targets(spec, asks))
    assert footprint_of(module(spec, "web")).memory_limit_mib > module(spec, "web").memory_limit_mib


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        pytest.param("{name: a, start: 0 8 * * *, end: 0 9 * * *, modules: {wbe: {least: 1}}}", "modules", id="module"),
        pytest.param("{name: a, start: 0 8 30 2 *, end: 0 9 * * *, modules: {web: {least: 1}}}", "start", id="time"),
        pytest.param(
            "{name: a, start: 0 8 * * *, end: 0 9 * * *, timeZone: Mars/Base, modules: {web: {least: 1}}}",
            "timeZone",
            id="zone",
        ),
        pytest.param("{name: a, start: 0 8 * * *, end: 0 9 * * *, modules: {web: {}}}", "web", id="no number"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(
    resolve_text: Resolve, operated: Cell, lines: str, where: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text(f"scaling: {{calendar: [{lines}]}}", cell=operated)
    assert where in caught.value.problems[0].path


@pytest.mark.parametrize(
    ("line", "where"),
    [
        pytest.param(
            "calendar: [{name: a, start: 0 8 * * *, end: 0 9 * * *, modules: {web: {least: 1}}}]",
            "spec.scaling.calendar",
            id="a calendar",
        ),
        pytest.param("idle: zero", "spec.scaling.idle", id="going to zero when idle"),
    ],
)
def test_what_only_an_operator_can_follow_is_refused_without_one(resolve_text: Resolve, line: str, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text(f"scaling: {{{line}}}")
    assert where in [one.path for one in caught.value.problems]


@pytest.mark.parametrize(
    ("lines", "name", "read"),
    [
        pytest.param((), "messaging-email", True, id="room above the minimum"),
        pytest.param((), "messaging-failed", False, id="minimum and maximum are one"),
        pytest.param(("scaling: {idle: zero}",), "messaging-failed", True, id="unless it may go to zero"),
        pytest.param(("modules: {messaging-email: {scale: 2}}",), "messaging-email", False, id="set by hand"),
        pytest.param((), "web", False, id="nothing to read"),
    ],
)
def test_sources_are_read_only_where_they_can_change_something(
    resolve_text: Resolve, operated: Cell, lines: tuple[str, ...], name: str, read: bool
) -> None:
    spec = resolve_text(*lines, cell=operated)
    assert by_load(spec, module(spec, name)) is read


def test_by_hand_takes_the_module_from_its_autoscaler(resolve_text: Resolve, operated: Cell, cell: Cell) -> None:
    lines = ("modules: {web: {scale: 3}}",)
    held, alone = resolve_text(*lines, cell=operated), resolve_text(*lines, cell=cell)
    assert not by_cpu(held, module(held, "web"))
    assert by_cpu(alone, module(alone, "web")), "without an operator the autoscaler holds the number"
    assert (module(held, "web").by_hand, module(held, "web").replicas_max) == (3, 4), "its room stays as it was"


@pytest.mark.parametrize(
    ("lines", "plan", "path"),
    [
        pytest.param("{segmenter: {scale: 2}}", "growth", "spec.modules.segmenter.scale", id="it has no replicas"),
        pytest.param("{scoring: {scale: 7}}", "growth", "spec.modules.scoring.scale", id="above the plan's bounds"),
        pytest.param("{web: {scale: 0}}", "growth", "spec.modules.web.scale", id="what answers hosts is not stopped"),
        pytest.param("{scoring: {scale: -1}}", "growth", "spec.modules.scoring.scale", id="fewer than none"),
    ],
)
def test_a_number_by_hand_has_bounds(resolve_text: Resolve, operated: Cell, lines: str, plan: str, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text(f"modules: {lines}", plan=plan, cell=operated)
    assert [one.path for one in caught.value.problems] == [path]


def test_without_an_operator_nobody_scales_to_nothing(resolve_text: Resolve, cell: Cell) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_text("modules: {scoring: {scale: 0}}", cell=cell)
    assert [one.path for one in caught.value.problems] == ["spec.modules.scoring.scale"]


def test_on_a_server_of_its_own_only_queues_are_read(resolve_text: Resolve, operated: Cell) -> None:
    spec = resolve_text("database: {tier: dedicated}", cell=operated)
    assert [one.name for one in module(spec, "messaging-email").sources] == ["messages"]
    assert module(spec, "messaging-failed").sources == ()


@pytest.mark.parametrize(
    ("calendar", "span"),
    [
        pytest.param((), Span(least=1, most=3), id="the plan's span"),
        pytest.param((campaign(least=2),), Span(least=2, most=3), id="a campaign raises the least"),
        pytest.param((campaign(least=9),), Span(least=3, most=3), id="within the maximum"),
        pytest.param(
            (campaign(least=2), campaign(most=1, name="off")), Span(least=1, most=1), id="the most goes before"
        ),
        pytest.param((campaign(most=0),), Span(least=0, most=0), id="switched off"),
    ],
)
def test_the_span_of_an_autoscaler(spec: TenantSpec, calendar: tuple[Campaign, ...], span: Span) -> None:
    assert span_of(module(spec, "messaging-email"), calendar, NOW) == span


def test_the_explanation_says_what_is_measured_and_what_it_comes_to(spec: TenantSpec) -> None:
    one = module(spec, "messaging-email")
    found = sample(
        one, [Reading(source="messages", value=1203), Reading(source="trigger-lag", value=0)], running=1, at=NOW
    )
    counted = steady([found], one, running=3, now=NOW)
    assert (counted.why, counted.basis) == ("messages 1203, 500 a replica", Basis.DEMAND)
