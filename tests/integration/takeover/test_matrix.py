"""Take-over: operation × kind of tenant × direction. What one engine made, the other sees as it is and goes on with."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from tenantry.engine import Op, Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.storage import StackFiles
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_program, tenant_stack
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_tenant
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.resolving import resolve
from tests.integration.takeover.zoo import DYNAMIC, KUBERNETES, UNCHANGEABLE, Turn

pytestmark = pytest.mark.pulumi_cli
EXAMPLES = sorted(path.stem for path in (Catalogue.root() / "examples").glob("*.yaml"))
DIRECTIONS = [
    pytest.param(EngineKind.EMBEDDED, EngineKind.CLI, id="embedded, then the CLI"),
    pytest.param(EngineKind.CLI, EngineKind.EMBEDDED, id="the CLI, then embedded"),
]


def tenant(fleet: Fleet, example: str) -> tuple[Stack, Program]:
    """A twin of an example under an incarnation of its own."""
    spec = resolve(
        load_tenant(Catalogue.root() / "examples" / f"{example}.yaml"),
        catalogue=fleet.catalogue,
        cell=fleet.cell,
        incarnation=incarnation_of(str(uuid4())),
        today=date(2026, 11, 24),
    )
    return tenant_stack(spec.name, spec.incarnation, fleet.backend), tenant_program(spec)


def moved(program: Program) -> Program:
    """The same tenant under another host name: changes of its ingress, settings and what reads them."""
    spec = program.arguments["spec"]
    return tenant_program(dataclasses.replace(spec, hosts=(f"{spec.names.namespace}.elsewhere.example",)))


KINDS = KUBERNETES.keys() | DYNAMIC


@pytest.mark.parametrize(("first", "second"), DIRECTIONS)
def test_every_kind_is_taken_over_in_every_operation(
    fleet: Fleet, tmp_path: Path, first: EngineKind, second: EngineKind
) -> None:
    """As docs/take-over.md promises it: made by one; updated, replaced and destroyed by the other."""
    name = f"zoo-{uuid4().hex[:8]}"
    stack = Stack(project="zoo", name=name, backend=tmp_path, secrets_provider=f"hashivault://state-{name}")

    def program(turn: Turn) -> Program:
        arguments = {"namespace": name, "cell": fleet.cell, "turn": turn}
        return Program(entry="tests.integration.takeover.zoo:zoo", arguments=arguments)

    with make_engine(first) as maker, make_engine(second) as taker:
        made = maker.up(stack, program(Turn.MADE))
        assert {one.type for one in made.changes if one.op is Op.CREATE} >= KINDS
        assert taker.preview(stack, program(Turn.MADE)).changes == ()
        for turn, op, kinds in ((Turn.UPDATED, Op.UPDATE, KINDS - UNCHANGEABLE), (Turn.REPLACED, Op.REPLACE, KINDS)):
            previews = [
                {(one.urn, one.op) for one in engine.preview(stack, program(turn)).changes} for engine in (maker, taker)
            ]
            assert previews[0] == previews[1]
            done = taker.up(stack, program(turn))
            assert {one.type for one in done.changes if one.op is op} == kinds
            assert {(one.urn, one.op) for one in done.changes} == previews[0]
            assert maker.preview(stack, program(turn)).changes == ()
        assert maker.verify(stack).findings == ()
        gone = taker.destroy(stack)
        assert {one.type for one in gone.changes} >= KINDS
        taker.remove(stack)
    assert not StackFiles(stack).checkpoint.exists()


@pytest.mark.parametrize(("first", "second"), DIRECTIONS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_stack_is_taken_over(fleet: Fleet, example: str, first: EngineKind, second: EngineKind) -> None:
    """create by one · no changes for the other · updated by it · no changes for the first · destroyed by the other."""
    stack, program = tenant(fleet, example)
    with make_engine(first) as maker, make_engine(second) as taker:
        made = maker.up(stack, program)
        assert made.counts[Op.CREATE] > 30
        assert taker.preview(stack, program).changes == ()
        other = moved(program)
        previews = [{(one.urn, one.op) for one in engine.preview(stack, other).changes} for engine in (maker, taker)]
        assert previews[0] == previews[1] != set()
        assert {(one.urn, one.op) for one in taker.up(stack, other).changes} == previews[0]
        assert maker.preview(stack, other).changes == ()
        assert taker.refresh(stack).changes == ()
        assert maker.preview(stack, other).changes == ()
        taker.destroy(stack, lift_protection=True)
        assert not taker.export(stack)["deployment"].get("resources")
        taker.remove(stack)
    assert not StackFiles(stack).checkpoint.exists()
