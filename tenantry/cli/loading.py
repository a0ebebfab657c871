"""Tenant files from the paths that a user names. What is wrong in any of them is told in one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenantry.cli.opening import checking
from tenantry.fleet import Fleet
from tenantry.tenancy.errors import Conflict, InvalidInput, TenantryError, raise_together
from tenantry.tenancy.manifest import TenantFile, load_draft, refusal

__all__ = ["load_files"]


def load_files(paths: Sequence[Path], cell: Path | None, local: str) -> list[TenantFile]:
    """Read every file, folders expanded.

    Where any has a mistake, all are judged by the cell as well, whose options these are: raises what is wrong with the
    text and what is wrong with what it asks for, of every file.
    """
    files: list[TenantFile] = []
    failures: list[Exception] = []
    for path in paths:
        inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not inside:
            failures.append(
                InvalidInput(
                    "the folder holds no tenant file", source=str(path), hint="tenant files end in .yaml or .yml"
                )
            )
        for one in inside:
            try:
                files.append(load_draft(one))
            except TenantryError as error:
                failures.append(error)
    if files and (failures or any(one.draft.problems for one in files)):
        failures += _judged(files, cell, local)
    raise_together(failures, "several tenant files cannot be accepted")
    return files


def _judged(files: Sequence[TenantFile], cell: Path | None, local: str) -> list[Exception]:
    """What is wrong with each, by the cell; of the texts alone where there is no cell to ask."""
    try:
        with checking(cell, local) as fleet:
            return _refused(fleet, files)
    except TenantryError as error:
        return [error, *(refusal(one) for one in files if one.draft.problems)]


def _refused(fleet: Fleet, files: Sequence[TenantFile]) -> list[Exception]:
    try:
        fleet.specs.resolve_all(files)
    except (InvalidInput, Conflict, ExceptionGroup) as error:
        return [error]
    return []
