"""When tenants are read, and what a reading leads to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.scaling import Reading
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ScalingSource
from tenantry_operator.sampling import Sampler
from tests.unit.conftest import Resolve

RUNNING = {"web": 2, "messaging-email": 1, "scoring": 1, "messaging-failed": 1}
PATIENCE_S = 20.0


class Sources:
    """What tenants' sources say; a tenant may be made to hang until `free`."""

    def __init__(self) -> None:
        self.values: dict[str, int | None] = {}
        self.reads: list[str] = []
        self.hanging: set[str] = set()
        self.free = threading.Event()

    def __call__(self, spec: TenantSpec, sources: Sequence[ScalingSource]) -> list[Reading]:
        self.reads.append(spec.name)
        if spec.name in self.hanging:
            self.free.wait(PATIENCE_S)
        return [Reading(source=one.name, value=self.values.get(one.name, 0)) for one in sources]


@pytest.fixture
def sources() -> Iterator[Sources]:
    made = Sources()
    yield made
    made.free.set()


@pytest.fixture
def changed() -> list[str]:
    return []


@pytest.fixture
def sampler(sources: Sources, changed: list[str]) -> Iterator[Sampler]:
    made = Sampler(sources, every_s=0.05)
    made.start(changed.append)
    yield made
    made.stop()


@pytest.fixture
def spec(resolve_text: Resolve, cell: Cell) -> TenantSpec:
    return resolve_text(cell=cell.model_copy(update={"spec": cell.spec.model_copy(update={"operator": True})}))


def follow(sampler: Sampler, spec: TenantSpec, running: Mapping[str, int] = RUNNING) -> None:
    sampler.follow(spec.name, spec, running, earlier=dict, now=datetime.now(UTC))


def until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_a_tenant_is_looked_at_only_where_a_reading_asks_for_it(
    sampler: Sampler, sources: Sources, changed: list[str], spec: TenantSpec
) -> None:
    follow(sampler, spec)
    until(lambda: len(sources.reads) > 2)
    assert changed == []
    sources.values["messages"] = 1200
    until(lambda: changed)
    assert set(changed) == {spec.name}


def test_what_no_reading_can_change_is_not_read(
    sampler: Sampler, sources: Sources, spec: TenantSpec, resolve_text: Resolve
) -> None:
    by_hand = resolve_text("modules: {messaging-email: {scale: 1}, scoring: {scale: 1}}", name="still", cell=spec.cell)
    follow(sampler, by_hand)
    follow(sampler, spec)
    until(lambda: len(sources.reads) > 3)
    assert set(sources.reads) == {spec.name}


def test_a_tenant_that_hangs_delays_no_other(sampler: Sampler, sources: Sources, spec: TenantSpec) -> None:
    sick = [replace(spec, name=f"sick{number}") for number in range(3)]
    sources.hanging = {one.name for one in sick}
    for one in sick:
        follow(sampler, one)
    until(lambda: len(sources.reads) >= 3)
    follow(sampler, spec)
    until(lambda: sources.reads.count(spec.name) > 2)


def test_a_forgotten_tenant_is_read_no_more(sampler: Sampler, sources: Sources, spec: TenantSpec) -> None:
    follow(sampler, spec)
    until(lambda: sources.reads)
    sampler.forget(spec.name)
    time.sleep(0.2)
    seen = len(sources.reads)
    time.sleep(0.5)
    assert len(sources.reads) == seen


def test_what_cannot_be_read_is_asked_less_and_less_often(sampler: Sampler, sources: Sources, spec: TenantSpec) -> None:
    sources.values = {"messages": None, "trigger-lag": None, "hits": None}
    healthy = replace(spec, name="healthy")
    follow(sampler, spec)
    until(lambda: len(sources.reads) >= 5)
    sources.values = {"messages": 5000}
    follow(sampler, healthy)
    until(lambda: sources.reads.count("healthy") >= 12)
    assert sources.reads.count(spec.name) - 5 < 6
