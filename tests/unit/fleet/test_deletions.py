"""Where the journals of deletions lie, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.fleet.deletions import KIND, Deletions
from tenantry.fleet.operations import Operations
from tenantry.tenancy.deletion import Deletion
from tenantry.tenancy.errors import StateCorrupt
from tenantry.tenancy.naming import names
from tenantry.tenancy.spec import DeletionPolicy

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def _deletion(name: str) -> Deletion:
    return Deletion(
        name=name,
        incarnation="abcd2345",
        namespace=names(name, "abcd2345").namespace,
        hosts=(),
        policy=DeletionPolicy.DELETE,
        requested_at=NOW,
        requested_by="somebody",
        due_at=NOW,
    )


def test_a_deletion_is_found_by_its_tenants_name_among_others_that_look_like_it(tmp_path: Path) -> None:
    deletions = Deletions(tmp_path)
    assert deletions.get("a") is None
    for name in ("a", "a-b"):
        deletions.put(_deletion(name))
    Operations(tmp_path, names("a", "zzzz2345").namespace).put("scale", {"web": 1})
    with deletions.exclusive("a"):
        assert deletions.get("a") == _deletion("a")
    assert deletions.get("b") is None
    assert deletions.names() == {"a", "a-b"}


def test_a_damaged_journal_is_only_its_own_tenants_trouble(tmp_path: Path) -> None:
    deletions = Deletions(tmp_path)
    deletions.put(_deletion("a"))
    (tmp_path / "operations" / "t-b-abcd2345").mkdir()
    (tmp_path / "operations" / "t-b-abcd2345" / f"{KIND}.json").write_text("{")
    assert deletions.get("a") == _deletion("a")
    with pytest.raises(StateCorrupt):
        deletions.get("b")
