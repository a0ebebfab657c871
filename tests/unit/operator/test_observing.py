"""What is found of a tenant when the world around it changed: a plan that is no longer there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import InvalidInput
from tenantry_operator.observing import observe

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def body(**metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "acme", "uid": "0d4943f3-037b-4314-8ead-7b299aa198e0", "generation": 1, **metadata},
        "spec": {"displayName": "Acme", "owner": "someone@example.com", "plan": "growth"},
    }


@pytest.fixture
def fleet(cell: Cell, catalogue: Catalogue, tmp_path: Path) -> Fleet:
    plans = {name: plan for name, plan in catalogue.plans.items() if name != "growth"}
    return Fleet(cell=cell, engine=EmbeddedEngine(), catalogue=replace(catalogue, plans=plans), root=tmp_path)


def test_a_plan_that_disappeared_is_a_problem_that_names_those_that_there_are(fleet: Fleet) -> None:
    found = observe(body(), fleet, NOW)
    assert found.spec is None
    assert isinstance(found.problem, InvalidInput)
    said = " ".join(f"{one.path} {one.message} {one.hint}" for one in found.problem.problems)
    assert "spec.plan" in said
    assert "growth" in said
    assert "starter" in said


def test_a_tenant_that_is_being_deleted_needs_no_plan(fleet: Fleet) -> None:
    found = observe(body(deletionTimestamp="2026-11-26T00:00:00Z"), fleet, NOW)
    assert found.problem is None
