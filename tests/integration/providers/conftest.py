"""A cell that is set up: the cell's stack has run on the real platform, and bootstrap logins are adopted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.interface import Program, Stack
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
def cell(environment: dict[str, str]) -> Cell:
    return Cell.model_validate(YAML(typ="safe").load(Path(environment["TENANTRY_CELL"])))


@pytest.fixture(scope="package")
def cell_run(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbeddedEngine, Stack, Program]:
    """The cell's stack after its first run: engine, stack and program, to run it again."""
    stack = Stack(
        project="tenantry",
        name="cell.providers",
        backend=tmp_path_factory.mktemp("state"),
        secrets_provider="hashivault://state-cell-providers",
    )
    program = Program(entry="stacks.cell_stack:cell_stack", arguments={"cell": cell}, fingerprint="providers")
    engine = EmbeddedEngine()
    engine.up(stack, program)
    return engine, stack, program


@pytest.fixture
def tenant(cell_run: object) -> str:
    """A tenant namespace that nobody has had, in a cell that is set up."""
    return f"t-x{secrets.token_hex(3)}-{secrets.token_hex(4)}"
