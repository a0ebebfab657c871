"""Whose lock is whose: a dead CLI run of ours is told from everybody else's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.engine import Stack
from tenantry.engine.locking import alone, break_lock, clear_stale, hold, username
from tenantry.engine.marking import Marker, is_alive, started_at
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.tenancy.errors import InvalidInput, Locked


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    return StackFiles(Stack(project="p", name="s", backend=tmp_path, secrets_provider="hashivault://k"))


def lock(files: StackFiles, pid: int, host: str) -> Path:
    path = files.locks / f"{pid}.json"
    owner = {"pid": pid, "username": "root", "hostname": host, "timestamp": "2026-11-24T00:00:00Z"}
    write_atomically(path, json.dumps(owner).encode())
    return path


def ended(files: StackFiles) -> int:
    """The id of a process that was marked and is dead."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        Marker(files).set(process.pid)
    return process.pid


def test_the_lock_of_a_dead_cli_run_of_ours_goes(files: StackFiles) -> None:
    path = lock(files, ended(files), socket.gethostname())
    assert clear_stale(files) == (path,)
    with hold(files):
        pass


def test_the_lock_of_a_dead_run_that_we_did_not_start_stays(files: StackFiles) -> None:
    pid = ended(files)
    Marker(files).clear()
    path = lock(files, pid, socket.gethostname())
    assert clear_stale(files) == ()
    with pytest.raises(Locked), hold(files):
        pass
    assert path.exists()


def test_the_same_process_id_on_another_machine_is_not_ours(files: StackFiles) -> None:
    path = lock(files, ended(files), "elsewhere")
    assert clear_stale(files) == ()
    assert path.exists()


def test_the_lock_of_a_living_run_stays(files: StackFiles) -> None:
    Marker(files).set(os.getpid())
    path = lock(files, os.getpid(), socket.gethostname())
    assert clear_stale(files) == ()
    assert path.exists()


def test_a_process_id_that_came_again_is_another_process() -> None:
    assert is_alive(os.getpid(), started_at(os.getpid()))
    assert not is_alive(os.getpid(), "an earlier start")


def test_somebody_elses_lock_is_broken_on_an_explicit_word_alone(files: StackFiles) -> None:
    path, other = lock(files, 4242, "elsewhere"), lock(files, 4243, "elsewhere")
    with pytest.raises(Locked) as held, hold(files):
        pass
    assert f"--break-lock {path.stem}" in str(held.value.hint)
    with pytest.raises(InvalidInput, match="no lock nonsense") as caught:
        break_lock(files, "nonsense")
    assert "4242" in str(caught.value.hint)
    assert break_lock(files, path.stem).pid == 4242
    assert (path.exists(), other.exists()) == (False, True)


def test_the_lock_of_a_process_that_runs_here_is_not_broken(files: StackFiles) -> None:
    path = files.locks / "living.json"
    now = datetime.now(UTC).isoformat()
    owner = {"pid": os.getpid(), "username": "root", "hostname": socket.gethostname(), "timestamp": now}
    write_atomically(path, json.dumps(owner).encode())
    with pytest.raises(Locked, match="runs on this machine"):
        break_lock(files, "living")
    assert path.exists()


def test_a_lock_cut_short_can_be_broken(files: StackFiles) -> None:
    write_atomically(files.locks / "short.json", b'{"pid": 1')
    assert break_lock(files, "short").name is None


def test_a_lock_of_this_machine_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with alone(path, what="the release of acme", hint="wait"):
        assert path.stat().st_mode & 0o777 == 0o600
        with (
            pytest.raises(Locked, match=rf"the release of acme is held by .*pid {os.getpid()}"),
            alone(path, what="the release of acme", hint="wait"),
        ):
            raise AssertionError("held twice")
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert not path.exists()


def test_an_account_without_a_name_holds_a_stack_by_its_number(
    files: StackFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose user id stands in no list of users."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert username() == str(os.getuid())
    with hold(files):
        assert json.loads(next(files.locks.glob("*.json")).read_bytes())["username"] == str(os.getuid())
