"""A restore that was cut off: nobody starts what it left, and only its own backup goes on with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.cell_backup.archive import writing
from tenantry.cell_backup.keys import make_keys, read_public
from tenantry.cell_backup.restoring import restore
from tenantry.local import LocalPlatform
from tenantry.local.layout import write_json
from tenantry.tenancy.errors import Conflict


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a platform whose restore has not ended."""
    home = tmp_path / "local" / "c"
    home.mkdir(parents=True)
    write_json(home / "restoring.json", {"backup": "2026-05-01T12:00:00+00:00", "file": "/away/c.cell"})
    return home


def test_nobody_else_starts_it(home: Path) -> None:
    platform = LocalPlatform("c", home=home)
    for start in (platform.up, platform.operate):
        with pytest.raises(Conflict, match="has not ended") as caught:
            start(print)
        assert "/away/c.cell" in str(caught.value.hint)
    assert [one.name for one in home.iterdir()] == ["restoring.json"]


def test_another_backup_does_not_go_on_with_it(home: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "private", tmp_path / "public")
    file, later = tmp_path / "c.cell", datetime(2026, 5, 2, 12, tzinfo=UTC)
    with writing(file, read_public(tmp_path / "public"), cell="c", version="1", begun_at=later):
        pass
    with pytest.raises(Conflict, match="another backup"):
        restore(file, private=tmp_path / "private", root=tmp_path, progress=print)
    assert [one.name for one in home.iterdir()] == ["restoring.json"]
