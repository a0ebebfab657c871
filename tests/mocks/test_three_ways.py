"""A mistake in a tenant's file, its cell's file, a template or a component is refused by all three ways of running the
pack, in the same words: the embedded engine, `tenantry policy check`, and Pulumi's own policy server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerStub

from tenantry.engine import EmbeddedEngine, Stack
from tenantry.engine.desired import DesiredResource
from tenantry.engine.evaluating import evaluate
from tenantry.engine.properties import plain
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import InvalidInput, PolicyViolated
from tenantry.tenancy.judgement import Level
from tenantry.tenancy.manifest import load_cell, load_tenant, parse_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec
from tenantry_policies.reference import BREAKABLE_BY_TEMPLATES
from tenantry_policies.rules import RULES
from tenantry_policies.view import Resource
from tests.mocks.mistaken import CELL_MISTAKES, COMPONENT_MISTAKES, EXAMPLE, Mistake, anonymous, mistaken
from tests.mocks.mistaken_files import CELL_FILE_MISTAKES, TEMPLATE_MISTAKES, FileMistake, mistaken_files
from tests.mocks.test_policy_pack import analyze, analyze_stack, pack, said

__all__ = ["pack"]

CELL = Catalogue.root() / "cells" / "example.yaml"
MISTAKES = {
    **{f"template: {name}": mistake for name, mistake in TEMPLATE_MISTAKES.items()},
    **{f"cell: {name}": mistake for name, mistake in CELL_FILE_MISTAKES.items()},
}

ADVISORY = {one.name for one in RULES if one.level is Level.ADVISORY}
OF_A_CELL = {"unbound-login", "wildcard-openbao-policy", "wildcard-sql-grant"}
"""Rules over what a cell alone has."""
OF_A_TENANT = {one.name for one in RULES if not one.name.startswith("aws-")} - ADVISORY - OF_A_CELL


def spec_of(tmp_path: Path, mistake: FileMistake) -> tuple[TenantSpec, Fleet]:
    templates = mistaken_files(tmp_path, mistake)
    catalogue, cell = Catalogue.load(templates), load_cell(templates / "cells" / "example.yaml")
    spec = resolve(
        load_tenant(templates / "examples" / f"{mistake.tenant}.yaml"),
        catalogue=catalogue,
        cell=cell,
        incarnation="a1b2c3d4",
        today=date(2026, 11, 24),
    )
    return spec, Fleet(cell=cell, engine=EmbeddedEngine(), catalogue=catalogue, root=tmp_path / "home")


def shown(resources: Iterable[DesiredResource]) -> list[Resource]:
    """As the CLI shows them to its policy server."""
    return [
        Resource(urn=one.urn, type=one.type, name=one.name, inputs=plain(dict(one.inputs)), protect=one.protect)
        for one in resources
        if not one.is_logical
    ]


def test_the_documentation_names_the_rules_that_a_template_can_break() -> None:
    """Each has a mistake here; which ones these are was found by going through every field of a template."""
    broken = [rule for one in TEMPLATE_MISTAKES.values() for rule in one.rules]
    assert sorted(broken) == sorted(BREAKABLE_BY_TEMPLATES)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_by_all_three_ways_in_the_same_words(
    mistake: FileMistake, pack: object, tmp_path: Path
) -> None:
    spec, fleet = spec_of(tmp_path, mistake)
    program = tenant_program(spec)
    stack = Stack(project="tenantry", name=spec.name, backend=tmp_path, secrets_provider="hashivault://state-x")

    with pytest.raises(PolicyViolated) as caught:
        EmbeddedEngine().preview(stack, program)
    embedded = {(one.rule, one.message) for one in caught.value.violations}
    assert {name for name, _ in embedded} == set(mistake.rules)

    checked = {(one.rule, one.message) for one in fleet.judge(spec).refused}
    assert checked == embedded

    resources = shown(evaluate(stack, program, known_ids={}, emit=print).resources)
    by_server = [found for one in resources for found in analyze(pack, one)]  # type: ignore[arg-type]
    by_server += analyze_stack(pack, resources)  # type: ignore[arg-type]
    assert {(name, said(message)) for name, message in by_server} == embedded


@pytest.mark.parametrize(
    ("mistakes", "rules", "tenant"),
    [
        pytest.param(COMPONENT_MISTAKES, OF_A_TENANT, [EXAMPLE], id="a tenant's"),
        pytest.param(CELL_MISTAKES, OF_A_CELL, [], id="a cell's"),
    ],
)
def test_a_components_mistake_for_every_rule_is_refused_by_all_three_ways_in_the_same_words(
    mistakes: Sequence[Mistake], rules: set[str], tenant: Sequence[Path], pack: AnalyzerStub, tmp_path: Path
) -> None:
    """All at once, in processes that import the components with these mistakes in place of ours."""
    environment = {**os.environ, **mistaken(tmp_path, *mistakes), "TENANTRY_HOME": str(tmp_path / "home")}

    def printed_by(*command: str | Path) -> Any:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        return json.loads(done.stdout)

    by_engine = printed_by(sys.executable, "-m", "tests.mocks.mistaken", CELL, *tenant)
    embedded = {(rule, anonymous(message)) for rule, message in by_engine["refused"]}
    assert {rule for rule, _ in embedded} == {one.rule for one in mistakes} == rules

    tenantry = Path(sys.prefix) / "bin" / "tenantry"
    by_command = printed_by(tenantry, "policy", "check", *(tenant or [CELL]), "--cell", CELL, "--json")
    (checked,) = (*by_command["tenants"], *by_command["cells"])
    assert {(one["rule"], anonymous(one["message"])) for one in checked["refused"]} == embedded

    resources = [Resource(**one) for one in by_engine["resources"]]
    by_server = [found for one in resources for found in analyze(pack, one)]
    by_server += analyze_stack(pack, resources)
    refused = {(name, anonymous(said(message))) for name, message in by_server if name not in ADVISORY}
    assert refused == embedded


TENANT_MISTAKES = {
    "data-outside-residency": ("placement.residency", "residency: eu", "residency: us"),
    "data-without-backup": ("backup", "spec:\n", "spec:\n  backup: {enabled: false}\n"),
    "ingress-too-wide": ("hosts", "spec:\n", 'spec:\n  hosts: ["*.acme.example"]\n'),
    "open-egress": ("integrations", "host: smtp.eu.mailgun.org", 'host: "*.mailgun.org"'),
    "foreign-image": ("image", "spec:\n", "spec:\n  image: images.example.net/mautic:5\n"),
}


@pytest.mark.parametrize("rule", TENANT_MISTAKES)
def test_what_a_tenant_file_could_break_is_refused_before_any_policy_with_its_line(rule: str) -> None:
    """The model holds for tenant files what the rules hold for resources, and can say the line. So it is said by each
    way alike: none of them comes as far as a resource."""
    path, right, wrong = TENANT_MISTAKES[rule]
    text = (Catalogue.root() / "examples" / "acme-coffee.yaml").read_text(encoding="utf-8")
    assert right in text
    with pytest.raises(InvalidInput) as caught:
        resolve(
            parse_tenant(text.replace(right, wrong, 1), source="tenant.yaml"),
            catalogue=Catalogue.load(),
            cell=load_cell(CELL),
            incarnation="a1b2c3d4",
            today=date(2026, 11, 24),
        )
    assert not isinstance(caught.value, PolicyViolated)
    assert any(problem.path.startswith(f"spec.{path}") and problem.line for problem in caught.value.problems)
