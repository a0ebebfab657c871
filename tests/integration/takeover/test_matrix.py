"""Take-over: operation × kind of tenant × direction. What one engine made, the other sees as it is and goes on with."""

from __future__ import annotations

import dataclasses
from datetime import date
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
