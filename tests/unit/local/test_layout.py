"""Files and folders of a local platform: modes, replacement in one step, the home."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tenantry.local.layout import Layout, default_home, make_folder, read_json, write_file, write_json


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_file_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_file(tmp_path / "secret", "x")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "secret") == 0o600


def test_an_unchanged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "same")
    first = path.stat()
    write_file(path, "same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_file_with_a_wider_mode_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "same")
    path.chmod(0o644)
    write_file(path, "same")
    assert _mode(path) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError):
        write_file(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_exists_gets_the_mode(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    make_folder(folder, 0o700)
    assert _mode(folder) == 0o700


def test_json_round_trip_and_a_missing_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert read_json(tmp_path / "b.json") == {}


def test_the_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    assert default_home("demo") == tmp_path / "local" / "demo"


def test_every_folder_of_a_layout_is_closed_to_others(tmp_path: Path) -> None:
    layout = Layout(name="demo", home=tmp_path / "home", parts=tmp_path / "home" / "parts")
    layout.make()
    open_to_others = [path for path in (tmp_path / "home").rglob("*") if _mode(path) & 0o066]
    assert open_to_others == []
    assert _mode(layout.bootstrap) == 0o700


def test_a_used_home_keeps_the_place_of_its_parts(tmp_path: Path) -> None:
    write_json(tmp_path / "platform.json", {"parts": "/somewhere/else"})
    assert Layout.of("demo", tmp_path).parts == Path("/somewhere/else")
