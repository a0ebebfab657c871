"""Roll-outs: rings in order, a threshold that is never passed unseen, and an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.document import Document, validate
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.rollout import Look, Rollout, RolloutPhase, State, look


def rollout(**spec: object) -> Rollout:
    content = {
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "spring", "uid": "0000"},
        "spec": {"release": "2.0", **spec},
    }
    return validate(Document(source="rollout", text="", content=content), Rollout, noun="the roll-out")


def names(count: int) -> list[str]:
    return [f"tenant-{index}" for index in range(count)]


def begun(found: Look, states: dict[str, State]) -> dict[str, State]:
    return states | dict.fromkeys(found.begin, State.UNDER_WAY)


def test_the_canary_goes_first_and_alone() -> None:
    states = dict.fromkeys(names(200), State.PENDING)
    first = look(rollout(), states)
    assert (first.phase, first.ring, len(first.begin)) == (RolloutPhase.RUNNING, "canary", 1)
    again = look(rollout(), begun(first, states))
    assert again.begin == ()


def test_the_next_ring_waits_for_the_last_tenant_of_the_one_before() -> None:
    states = dict.fromkeys(names(200), State.PENDING)
    one = look(rollout(), states).begin[0]
    two = look(rollout(), states | {one: State.DONE}).begin[0]
    assert look(rollout(), states | {one: State.DONE, two: State.UNDER_WAY}).ring == "canary"
    wider = look(rollout(), states | {one: State.DONE, two: State.DONE})
    assert (wider.ring, len(wider.begin)) == ("early", 4)


@pytest.mark.parametrize(
    ("spec", "failed", "phase"),
    [
        pytest.param({}, 1, RolloutPhase.HALTED, id="the first failure halts it"),
        pytest.param({"maxFailures": 4}, 2, RolloutPhase.RUNNING, id="below the threshold it goes on"),
        pytest.param({"maxFailures": 3}, 3, RolloutPhase.HALTED, id="at the threshold it halts"),
        pytest.param({"paused": True}, 0, RolloutPhase.PAUSED, id="paused"),
        pytest.param({"aborted": True, "paused": True}, 5, RolloutPhase.ABORTED, id="aborted, whatever else holds"),
    ],
)
def test_when_it_goes_no_further(spec: dict[str, object], failed: int, phase: RolloutPhase) -> None:
    states = dict.fromkeys(names(10), State.PENDING) | dict.fromkeys(names(failed), State.FAILED)
    states |= {"late": State.UNDER_WAY}
    found = look(rollout(parallel=10, **spec), states, frozenset({"late"}))
    assert found.phase is phase
    assert bool(found.begin) is (phase is RolloutPhase.RUNNING)
    assert found.withdraw == (() if phase is RolloutPhase.RUNNING else ("late",))


def test_named_tenants_make_a_ring_and_who_is_left_out_is_in_none() -> None:
    states = dict.fromkeys(names(4), State.PENDING) | {"tenant-0": State.LEFT_OUT}
    rings = [{"name": "own", "tenants": ["tenant-0", "tenant-3", "nobody"]}, {"name": "all", "percent": 100}]
    assert look(rollout(rings=rings), states).begin == ("tenant-3",)


@given(
    count=st.integers(1, 60),
    failing=st.sets(st.integers(0, 59), max_size=8),
    pinned=st.sets(st.integers(0, 59), max_size=8),
    most=st.integers(1, 4),
    parallel=st.integers(1, 8),
)
def test_it_ends_or_halts_and_every_look_may_be_repeated(
    count: int, failing: set[int], pinned: set[int], most: int, parallel: int
) -> None:
    plan = rollout(maxFailures=most, parallel=parallel)
    bad = {f"tenant-{one}" for one in failing}
    states = dict.fromkeys(names(count), State.PENDING)
    states |= {name: State.LEFT_OUT for name in (f"tenant-{one}" for one in pinned) if name in states}
    for _ in range(3 * count + 3):
        found = look(plan, states)
        assert look(plan, states) == found
        states = begun(found, states)
        assert sum(state is State.UNDER_WAY for state in states.values()) <= parallel
        under_way = [name for name, state in states.items() if state is State.UNDER_WAY]
        if not under_way:
            break
        states[under_way[0]] = State.FAILED if under_way[0] in bad else State.DONE
    failed = sum(state is State.FAILED for state in states.values())
    assert found.phase is (RolloutPhase.DONE if State.PENDING not in states.values() else RolloutPhase.HALTED)
    assert failed <= most - 1 + parallel
    assert (found.phase is RolloutPhase.HALTED) <= (failed >= most)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"rings": [{"name": "a", "percent": 50}, {"name": "b", "percent": 10}]}, id="shares that shrink"),
        pytest.param({"rings": [{"name": "a"}]}, id="a ring of nobody"),
        pytest.param({"rings": [{"name": "a", "percent": 5, "tenants": ["x"]}]}, id="a ring that says both"),
        pytest.param({"maxFailures": 0}, id="no failure at all allowed"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(spec: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        rollout(**spec)
