"""A mistake in a tenant's file, its cell's file, a template or a component is refused by all three ways of running the
pack, in the same words: the embedded engine, `tenantry policy check`, and Pulumi's own policy server."""

from __future__ import annotations

import json
import os
import shutil
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
from tenantry.tenancy.manifest import load_cell, parse_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec
from tenantry_policies.rules import RULES
from tenantry_policies.view import Resource
from tests.mocks.mistaken import CELL_MISTAKES, COMPONENT_MISTAKES, EXAMPLE, Mistake, anonymous, mistaken
from tests.mocks.test_policies import TEMPLATE_MISTAKES
from tests.mocks.test_policy_pack import analyze, analyze_stack, pack, said

__all__ = ["pack"]

CELL = Catalogue.root() / "cells" / "example.yaml"
TENANT = Catalogue.root() / "examples" / "acme-links.yaml"
WORKLOAD = Path("workloads") / "shlink" / "v1" / "workload.yaml"

MISTAKES = {
    **{f"template: {name}": ("template", *mistake) for name, mistake in TEMPLATE_MISTAKES.items()},
    "cell: the broker's management without TLS": (
        "cell",
        "managementUrl: https://",
        "managementUrl: http://",
        "plain-connection",
    ),
    "cell: a bucket without TLS": (
        "cell",
        "url: https://s3.eu-central-1.amazonaws.com",
        "url: http://store.example.org",
        "backup-not-sealed",
    ),
    "cell: a bucket elsewhere": (
        "cell",
        "url: https://s3.eu-central-1.",
        "url: https://s3.us-east-1.",
        "data-outside-residency",
    ),
    "cell: images from elsewhere": (
        "cell",
        "spec:\n",
        "spec:\n  images: {sources: [registry.example.org]}\n",
        "foreign-image",
    ),
}

ADVISORY = {one.name for one in RULES if one.level is Level.ADVISORY}
OF_A_CELL = {"unbound-login", "wildcard-openbao-policy", "wildcard-sql-grant"}
"""Rules over what a cell alone has."""
OF_A_TENANT = {one.name for one in RULES if not one.name.startswith("aws-")} - ADVISORY - OF_A_CELL


def spec_of(tmp_path: Path, where: str, right: str, wrong: str) -> tuple[TenantSpec, Fleet]:
    templates = tmp_path / "templates"
    shutil.copytree(Catalogue.root(), templates)
    changed = templates / WORKLOAD if where == "template" else templates / "cells" / "example.yaml"
    text = changed.read_text(encoding="utf-8")
    assert right in text
    changed.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    catalogue, cell = Catalogue.load(templates), load_cell(templates / "cells" / "example.yaml")
    example = TENANT if where == "template" else Catalogue.root() / "examples" / "globex-bank.yaml"
    spec = resolve(
        parse_tenant(example.read_text(encoding="utf-8"), source="tenant.yaml"),
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


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_by_all_three_ways_in_the_same_words(mistake: str, pack: object, tmp_path: Path) -> None:
    where, right, wrong, rule = MISTAKES[mistake]
    spec, fleet = spec_of(tmp_path, where, right, wrong)
    program = tenant_program(spec)
    stack = Stack(project="tenantry", name=spec.name, backend=tmp_path, secrets_provider="hashivault://state-x")

    with pytest.raises(PolicyViolated) as caught:
        EmbeddedEngine().preview(stack, program)
    embedded = {(one.rule, one.message) for one in caught.value.violations}
    assert rule in {name for name, _ in embedded}

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
