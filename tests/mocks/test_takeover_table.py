"""The take-over matrix has every kind that tenants' programs make, and the page shows it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tenantry.engine import Stack
from tenantry.engine.evaluating import evaluate
from tenantry.fleet.programs import tenant_program
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.resolving import resolve
from tests.integration.takeover.table import PAGE, page
from tests.integration.takeover.zoo import DYNAMIC, KUBERNETES, zoo


def test_the_matrix_has_the_kinds_of_every_example_tenant(tmp_path: Path) -> None:
    catalogue, cell = Catalogue.load(), load_cell(Catalogue.root() / "cells" / "example.yaml")
    stack = Stack(project="tenantry", name="acme", backend=tmp_path, secrets_provider="hashivault://state-acme")
    kinds: set[str] = set()
    for path in sorted((Catalogue.root() / "examples").glob("*.yaml")):
        spec = resolve(
            load_tenant(path), catalogue=catalogue, cell=cell, incarnation="a1b2c3d4", today=date(2026, 11, 24)
        )
        resources = evaluate(stack, tenant_program(spec), known_ids={}, emit=print).resources
        kinds |= {one.type for one in resources if one.custom and not one.is_logical}
    assert kinds == KUBERNETES.keys() | DYNAMIC


def test_the_page_shows_the_matrix_of_these_versions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m tests.integration.takeover.table"


def test_the_zoo_has_one_of_each(tmp_path: Path) -> None:
    from tenantry.engine import Program

    cell = load_cell(Catalogue.root() / "cells" / "example.yaml")
    stack = Stack(project="zoo", name="zoo", backend=tmp_path, secrets_provider="hashivault://state-zoo")
    program = Program(entry=f"{zoo.__module__}:zoo", arguments={"namespace": "zoo-1", "cell": cell})
    resources = evaluate(stack, program, known_ids={}, emit=print).resources
    assert {one.type for one in resources if one.custom and not one.is_logical} == KUBERNETES.keys() | DYNAMIC
