"""A cell that is set up: the cell's stack has run on the real platform, and bootstrap logins are adopted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.interface import Program, Stack
from tenantry.fleet import Fleet
from tenantry.fleet.programs import cell_program, cell_stack
from tenantry.local import LocalPlatform
from tenantry.tenancy.cell import Cell


@pytest.fixture(scope="package")
def environment(platform: LocalPlatform) -> Iterator[dict[str, str]]:
    """The platform's variables, set for this process as `tenantry local env` sets them for a shell."""
    with pytest.MonkeyPatch.context() as patch:
        values = platform.environment()
        for name, value in values.items():
            patch.setenv(name, value)
        yield values


@pytest.fixture(scope="package")
def cell(prepared: Fleet) -> Cell:
    return prepared.cell


@pytest.fixture(scope="package")
def cell_run(environment: dict[str, str], prepared: Fleet) -> tuple[EmbeddedEngine, Stack, Program]:
    """The cell's stack after its first run: engine, stack and program, to run it again."""
    engine = prepared.engine
    assert isinstance(engine, EmbeddedEngine)
    return engine, cell_stack(prepared.cell, prepared.backend), cell_program(prepared.cell)


@pytest.fixture
def tenant(cell_run: object) -> str:
    """A tenant namespace that nobody has had, in a cell that is set up."""
    return f"t-x{secrets.token_hex(3)}-{secrets.token_hex(4)}"
