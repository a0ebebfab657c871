"""Journals of long operations on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenantry.fleet.operations import Operations, under_way
from tenantry.tenancy.errors import StateCorrupt
from tenantry.tenancy.recovery import Backups


def test_what_was_put_is_there_for_the_next_process_and_gone_when_closed(tmp_path: Path) -> None:
    Operations(tmp_path, "t-a-abcd2345").put("release", {"step": "drain"})
    again = Operations(tmp_path, "t-a-abcd2345")
    assert again.get("release") == {"step": "drain"}
    again.close("release")
    again.close("release")
    assert again.get("release") is None


def test_a_later_life_of_the_name_finds_nothing(tmp_path: Path) -> None:
    Operations(tmp_path, "t-a-abcd2345").put("backup", {"id": "1"})
    assert Operations(tmp_path, "t-a-zzzz2345").get("backup") is None


def test_what_is_already_so_is_not_written(tmp_path: Path) -> None:
    operations = Operations(tmp_path, "t-a-abcd2345")
    operations.put("backup", {"id": "1"})
    (file,) = tmp_path.rglob("*.json")
    before = file.stat()
    operations.put("backup", {"id": "1"})
    assert file.stat().st_ino == before.st_ino
    assert before.st_mode & 0o077 == 0


def test_a_damaged_journal_is_said_and_kept(tmp_path: Path) -> None:
    operations = Operations(tmp_path, "t-a-abcd2345")
    operations.put("backup", {"id": "1"})
    (file,) = tmp_path.rglob("*.json")
    file.write_text("{")
    with pytest.raises(StateCorrupt):
        operations.get("backup")
    assert file.exists()


def test_a_journal_of_a_newer_version_is_said(tmp_path: Path) -> None:
    operations = Operations(tmp_path, "t-a-abcd2345")
    assert operations.load("backup", Backups) is None
    operations.put("backup", {"asked": "1"})
    assert operations.load("backup", Backups) == Backups(asked="1")
    operations.put("backup", {"asked": "1", "made_of": "what comes one day"})
    with pytest.raises(StateCorrupt, match="backup cannot be read"):
        operations.load("backup", Backups)


@pytest.mark.parametrize(
    ("journal", "holds"),
    [
        pytest.param(None, False, id="there is none"),
        pytest.param({"name": "acme"}, True, id="it says nothing of its end"),
        pytest.param({"ended_at": None}, True, id="it has not ended"),
        pytest.param({"ended_at": "2026-11-26T12:00:00Z"}, False, id="it has ended and is kept"),
        pytest.param({"ended_at": None, "begun": []}, False, id="it waits for its time"),
        pytest.param({"ended_at": None, "begun": ["check"]}, True, id="it has begun"),
    ],
)
def test_what_is_under_way_has_begun_and_not_ended(journal: dict[str, Any] | None, holds: bool) -> None:
    assert under_way(journal) is holds


def test_a_kind_is_never_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no kind"):
        Operations(tmp_path, "t-a-abcd2345").put("../x", {})
