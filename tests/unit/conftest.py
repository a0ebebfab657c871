"""What unit tests share: the installed catalogue, the example cell, and a way to write tenants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import hypothesis
import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.manifest import load_cell, parse_tenant
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

TODAY = date(2026, 11, 24)
INCARNATION = "abcd2345"

Resolve = Callable[..., TenantSpec]
"""Spec fields as YAML text, keyword arguments of `resolve` → the tenant's spec."""


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.fixture(scope="session")
def cell() -> Cell:
    return load_cell(Catalogue.root() / "cells" / "example.yaml")


@pytest.fixture
def resolve_text(catalogue: Catalogue, cell: Cell) -> Resolve:
    """Resolve a tenant of which only the interesting lines of `spec` are given."""

    def run(*lines: str, name: str = "acme", plan: str = "growth", **arguments: object) -> TenantSpec:
        text = "\n".join(
            (
                "apiVersion: tenantry.dev/v1alpha1",
                "kind: Tenant",
                f"metadata: {{name: {name}}}",
                "spec:",
                "  displayName: Acme",
                "  owner: ops@acme.example",
                f"  plan: {plan}",
                *(f"  {line}" for line in lines),
                "",
            )
        )
        settings = {"catalogue": catalogue, "cell": cell, "incarnation": INCARNATION, "today": TODAY} | arguments
        return resolve(parse_tenant(text, source="tenant.yaml"), **settings)

    return run
