"""The cell's stack on the real platform."""

from __future__ import annotations

from pathlib import Path

from tenantry.engine.embedded import EmbeddedEngine
from tenantry.engine.interface import Op, Program, Stack

CellRun = tuple[EmbeddedEngine, Stack, Program]


def test_a_second_run_changes_nothing(cell_run: CellRun) -> None:
    engine, stack, program = cell_run
    result = engine.up(stack, program)
    assert set(result.counts) == {Op.SAME}


def test_no_bootstrap_login_is_left(cell_run: CellRun, environment: dict[str, str]) -> None:
    assert list(Path(environment["TENANTRY_BOOTSTRAP"]).glob("*.json")) == []


def test_a_refresh_finds_what_the_run_made(cell_run: CellRun) -> None:
    engine, stack, _ = cell_run
    assert set(engine.refresh(stack).counts) == {Op.SAME}
