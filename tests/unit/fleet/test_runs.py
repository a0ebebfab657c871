"""What is said of an edit that takes two runs of the stack: room is only taken away when nothing fills it any more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from tenantry.engine.interface import Change, Engine, Op, RunResult
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.manifest import parse_tenant

TEXT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, owner: ops@acme.example, plan: growth}
"""
FEWER = TEXT.replace("growth}", "growth, modules: {web: {replicas: {min: 1, max: 1}}}}")


def result(same: int, **ops: tuple[str, ...]) -> RunResult:
    """A run: how many resources stayed the same, and the names of those that changed, by operation."""
    changes = tuple(
        Change(urn=name, type="t", name=name, op=Op(op), paths=(op,)) for op, names in ops.items() for name in names
    )
    counts = Counter(one.op for one in changes)
    counts[Op.SAME] = same
    return RunResult(changes=changes, counts=counts, outputs={}, seconds=1.0, timings={})


class Scripted:
    """An engine of which each run gives the next result; no stack is there."""

    def __init__(self, *results: RunResult) -> None:
        self._results = list(results)

    def up(self, *_stack_and_program: object, **_options: object) -> RunResult:
        return self._results.pop(0)


@pytest.fixture
def fleet(cell: Cell, catalogue: Catalogue, tmp_path: Path) -> Fleet:
    return Fleet(cell=cell, engine=cast(Engine, Scripted()), catalogue=catalogue, root=tmp_path)


def applied(fleet: Fleet, text: str, *results: RunResult) -> RunResult:
    fleet.engine = cast(Engine, Scripted(*results))
    file = parse_tenant(text, source="tenant.yaml")
    (one,) = fleet.up([(file, fleet.specs.resolve_all([file])[0])])
    assert one.error is None
    assert one.result is not None
    left: Any = fleet.engine
    assert left._results == []
    return one.result


def test_the_objects_of_an_edit_in_two_runs_are_counted_once(fleet: Fleet) -> None:
    assert applied(fleet, TEXT, result(0, create=tuple(str(number) for number in range(66)))).resources == 66
    edited = applied(fleet, FEWER, result(63, update=("a",), delete=("b", "c")), result(63, update=("quota",)))
    assert edited.resources == 64
    assert fleet.record("acme").resources == 64
    assert edited.counts == {Op.SAME: 62, Op.UPDATE: 2, Op.DELETE: 2}
    assert {one.urn for one in edited.changes} == {"a", "b", "c", "quota"}


def test_a_resource_that_both_runs_changed_is_one_change(fleet: Fleet) -> None:
    applied(fleet, TEXT, result(0, create=("quota", "web")))
    edited = applied(
        fleet,
        FEWER,
        result(0, create=("new",), update=("quota", "old")),
        result(0, update=("new", "quota"), delete=("old",)),
    )
    assert {one.urn: one.op for one in edited.changes} == {"new": Op.CREATE, "quota": Op.UPDATE, "old": Op.DELETE}
    assert edited.resources == 2
    assert edited.seconds == 2.0
