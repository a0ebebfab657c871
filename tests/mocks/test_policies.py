"""The policies over real resource graphs: what we make passes, and a mistake is refused before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tenantry.engine import EmbeddedEngine, Program, Stack
from tenantry.engine.desired import Desired
from tenantry.engine.evaluating import evaluate
from tenantry.engine.guarding import guarded
from tenantry.engine.interface import Diagnostic
from tenantry.fleet.programs import POLICIES, cell_program, tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import PolicyViolated
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import Hold, TenantSpec
from tenantry_policies.embedded import judge_desired
from tenantry_policies.judging import judge
from tests.mocks.broken import Registration
from tests.unit.policies.cases import CASES, Case

EXAMPLES = sorted((Catalogue.root() / "examples").glob("*.yaml"))
OURS = [case for case in CASES if case.stack != "cloud"]


@pytest.fixture(scope="module")
def cell() -> Cell:
    return load_cell(Catalogue.root() / "cells" / "example.yaml")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(project="tenantry", name="acme", backend=tmp_path, secrets_provider="hashivault://state-acme")


def spec_of(path: Path, cell: Cell, catalogue: Catalogue) -> TenantSpec:
    return resolve(load_tenant(path), catalogue=catalogue, cell=cell, incarnation="a1b2c3d4", today=date(2026, 11, 24))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_tenant_passes(path: Path, cell: Cell, stack: Stack) -> None:
    program = tenant_program(spec_of(path, cell, Catalogue.load()))
    judgement = judge_desired(evaluate(stack, program, known_ids={}, emit=print).resources)
    assert (judgement.refused, judgement.advised, judgement.remedied) == ((), (), ())


@pytest.mark.parametrize("hold", list(Hold))
def test_a_tenant_passes_at_every_step_of_a_release(hold: Hold, cell: Cell, stack: Stack) -> None:
    (customer,) = (path for path in EXAMPLES if path.stem == "acme-coffee")
    program = tenant_program(replace(spec_of(customer, cell, Catalogue.load()), hold=hold))
    assert judge_desired(evaluate(stack, program, known_ids={}, emit=print).resources).refused == ()


def test_the_component_tests_tenants_pass(spec: TenantSpec, registered: Callable[[TenantSpec], Desired]) -> None:
    assert judge_desired(registered(spec).resources).refused == ()


def test_the_cell_passes(cell: Cell, stack: Stack) -> None:
    judgement = judge_desired(evaluate(stack, cell_program(cell), known_ids={}, emit=print).resources)
    assert (judgement.refused, judgement.advised, judgement.remedied) == ((), (), ())


def test_a_cell_with_a_registry_of_its_own_takes_images_from_there_alone(cell: Cell, stack: Stack) -> None:
    images = cell.spec.images.model_copy(update={"registry": "registry.example.org/mirror"})
    own = cell.model_copy(update={"spec": cell.spec.model_copy(update={"images": images})})
    program = tenant_program(spec_of(EXAMPLES[0], own, Catalogue.load()))
    assert judge_desired(evaluate(stack, program, known_ids={}, emit=print).resources).refused == ()


def registrations_of(case: Case) -> list[Registration]:
    found = []
    for one in case.resources():
        inputs: dict[str, Any] = dict(one.inputs)
        if one.is_kubernetes:
            group, _, kind = one.type.removeprefix("kubernetes:").partition(":")
            inputs = {"apiVersion": group.removeprefix("core/"), "kind": kind, **inputs}
        found.append((one.type, one.name, inputs, one.protect))
    return found


@pytest.mark.parametrize("case", OURS, ids=lambda case: f"{case.rule}: {case.at}")
def test_a_components_mistake_is_refused_with_the_rules_own_words(case: Case, stack: Stack) -> None:
    expected = judge(case.resources())
    program = Program(
        entry="tests.mocks.broken:registering",
        arguments={"registrations": registrations_of(case)},
        policies=POLICIES,
    )
    said: list[Diagnostic] = []
    desired = evaluate(stack, program, known_ids={}, emit=print)
    if not expected.refused:
        guarded(desired, program.policies, where=stack.name, emit=said.append)
        assert [one.message for one in said] == [f"{one.resource}: {one.message}" for one in expected.advised]
        return
    with pytest.raises(PolicyViolated) as caught:
        guarded(desired, program.policies, where=stack.name, emit=said.append)
    assert {one.message for one in caught.value.violations} == {one.message for one in expected.refused}
    assert {one.resource for one in caught.value.violations} == {one.resource for one in expected.refused}


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_a_refused_run_makes_nothing_and_needs_nothing_running(
    operation: str, cell: Cell, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("VAULT_ADDR", "VAULT_TOKEN", "KUBECONFIG"):
        monkeypatch.delenv(variable, raising=False)
    spec = spec_of(EXAMPLES[0], cell, Catalogue.load())
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "door", "namespace": spec.names.namespace, "labels": spec.labels},
        "spec": {"type": "LoadBalancer"},
    }
    program = Program(
        entry="tests.mocks.broken:tenant_and",
        arguments={"spec": spec, "registrations": [("kubernetes:core/v1:Service", "door", service, False)]},
        policies=POLICIES,
    )
    with pytest.raises(PolicyViolated) as caught:
        getattr(EmbeddedEngine(), operation)(stack, program)
    assert caught.value.exit_code == 2
    assert [(one.rule, one.resource) for one in caught.value.violations] == [("public-service", "Service door")]
    # The lock that the run held is all that it leaves.
    assert {path.name for path in stack.backend.rglob("*") if path.is_file()} <= {"lock"}


def test_a_safe_omission_is_filled_in_and_said(cell: Cell, stack: Stack) -> None:
    spec = spec_of(EXAMPLES[0], cell, Catalogue.load())
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "extra", "namespace": spec.names.namespace, "labels": spec.labels},
    }
    program = Program(
        entry="tests.mocks.broken:tenant_and",
        arguments={"spec": spec, "registrations": [("kubernetes:core/v1:ServiceAccount", "extra", account, False)]},
    )
    said: list[Diagnostic] = []
    desired = guarded(evaluate(stack, program, known_ids={}, emit=print), POLICIES, where="acme", emit=said.append)
    (extra,) = [one for one in desired.resources if one.type.endswith(":ServiceAccount") and one.name == "extra"]
    assert extra.inputs == {**account, "automountServiceAccountToken": False}
    assert [(one.severity, one.urn) for one in said] == [("remedied", extra.urn)]


def test_the_aws_account_passes(cloud_registered: Desired) -> None:
    judgement = judge_desired(cloud_registered.resources)
    assert [(one.rule, one.resource, one.message) for one in (*judgement.refused, *judgement.advised)] == []
