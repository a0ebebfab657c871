"""Stacks and programs of a cell: which program makes which stack, and the fingerprint of each."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tenantry.engine.interface import Program, Stack
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.naming import names
from tenantry.tenancy.resolving import fingerprint
from tenantry.tenancy.spec import TenantSpec

__all__ = ["POLICIES", "PROJECT", "build", "cell_program", "cell_stack", "tenant_program", "tenant_stack"]

PROJECT = "tenantry"
_CODE = ("stacks", "tenantry_components", "tenantry_policies")
POLICIES = "tenantry_policies.embedded:judge_desired"
"""What judges every run, by reference: a worker imports it."""


def tenant_stack(name: str, incarnation: str, backend: Path) -> Stack:
    """The stack of one tenant, its state sealed by the tenant's own state key."""
    derived = names(name, incarnation)
    return Stack(
        project=PROJECT,
        name=derived.stack,
        backend=backend,
        secrets_provider=f"hashivault://{derived.state_key}",
        config={"tenantry:stack": "tenant", "tenantry:incarnation": incarnation},
    )


def tenant_program(spec: TenantSpec) -> Program:
    return Program(
        entry="stacks.tenant_stack:tenant_stack",
        arguments={"spec": spec},
        fingerprint=_digest(fingerprint(spec), _code_digest()),
        policies=POLICIES,
    )


def cell_stack(cell: Cell, backend: Path) -> Stack:
    """The stack of a cell's shared services. A tenant cannot have its name: `.` is in no tenant name."""
    return Stack(
        project=PROJECT,
        name=f"cell.{cell.metadata.name}",
        backend=backend,
        secrets_provider=f"hashivault://state-cell-{cell.metadata.name}",
        config={"tenantry:stack": "cell"},
    )


def cell_program(cell: Cell) -> Program:
    """Tokens that the cell lives on are renewed when the month changes."""
    month = datetime.now(UTC).strftime("%Y-%m")
    return Program(
        entry="stacks.cell_stack:cell_stack",
        arguments={"cell": cell, "renewal": month},
        fingerprint=_digest(cell.model_dump_json(), month, _code_digest()),
        policies=POLICIES,
    )


def build() -> str:
    """Names the code of this installation: another build, another digest."""
    return _digest(_source_digest("tenantry"), _source_digest("tenantry_operator"), _code_digest())


@cache
def _code_digest() -> str:
    """Digest of the programs' source, of what judges it and of their SDKs: other code, other resources."""
    digest = hashlib.sha256()
    for package in _CODE:
        digest.update(_source_digest(package).encode())
    for distribution in ("pulumi", "pulumi-kubernetes"):
        digest.update(version(distribution).encode())
    return digest.hexdigest()


def _source_digest(package: str) -> str:
    digest = hashlib.sha256()
    found = find_spec(package)
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
