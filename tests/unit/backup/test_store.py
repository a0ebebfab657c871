"""A store that is a folder: what killed writes and removals leave in it."""

from __future__ import annotations

from pathlib import Path

from tenantry.backup.store import cell_store
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Backups
from tenantry.tenancy.manifest import load_cell


def test_a_sweep_takes_half_written_files_and_empty_folders_and_nothing_else(tmp_path: Path) -> None:
    cell = load_cell(Catalogue.root() / "cells" / "example.yaml").spec
    cell = cell.model_copy(update={"backups": Backups(kind="folder", url=str(tmp_path))})
    for name, kept in (("gone", False), ("kept", True)):
        folder = tmp_path / "tenants" / name / "1" / "database"
        folder.mkdir(parents=True)
        (folder / "0#7").write_bytes(b"half")
        if kept:
            (folder / "0").write_bytes(b"whole")
        assert cell_store(cell, f"tenants/{name}/").sweep() == 1
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["tenants", "tenants/kept", "tenants/kept/1", "tenants/kept/1/database", "tenants/kept/1/database/0"]
