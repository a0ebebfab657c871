"""The history of a stack: both engines' entries, in the order of the runs, each with the state that it left."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tenantry.engine import Op, Stack
from tenantry.engine.history import deployment_at, entry_of, read_history, write_history
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

STACK = Stack(project="p", name="s-1", backend=Path(), secrets_provider="hashivault://k")
BY_CLI = {
    "kind": "update",
    "startTime": 1795653801,
    "message": "",
    "environment": {"exec.kind": "auto.local"},
    "config": {},
    "result": "failed",
    "endTime": 1795653811,
    "version": 1,
    "resourceChanges": {"create": 3, "same": 4},
}


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    return StackFiles(Stack(project="p", name="s-1", backend=tmp_path, secrets_provider="hashivault://k"))


def put(files: StackFiles, counts: dict[Op, int]) -> None:
    write_history(files, STACK, kind="update", started=1.0, counts=counts, checkpoint=b'{"version": 3}', succeeded=True)


def test_runs_of_both_engines_stand_in_one_order(files: StackFiles) -> None:
    write_atomically(files.history / "s-1-1000.history.json", json.dumps(BY_CLI).encode())
    write_atomically(files.history / "s-1-1000.checkpoint.json", b'{"version": 3, "checkpoint": {"stack": "first"}}')
    put(files, {Op.CREATE: 2, Op.DELETE: 0})
    first, second = read_history(files)
    assert (first.version, first.by, first.result, first.changes) == (
        1,
        "auto.local",
        "failed",
        {"create": 3, "same": 4},
    )
    assert (first.ended - first.started).total_seconds() == 10
    assert (second.version, second.by, second.result, second.changes) == (2, "tenantry", "succeeded", {"create": 2})
    assert deployment_at(files, 1)["checkpoint"]["stack"] == "first"
    assert deployment_at(files, 2) == {"version": 3}


def test_an_entry_that_the_cli_packed_is_read(files: StackFiles) -> None:
    write_atomically(files.history / "s-1-1.history.json.gz", gzip.compress(json.dumps(BY_CLI).encode()))
    write_atomically(files.history / "s-1-1.checkpoint.json.gz", gzip.compress(b'{"version": 3}'))
    assert [one.kind for one in read_history(files)] == ["update"]
    assert deployment_at(files, 1) == {"version": 3}


def test_times_of_the_clis_own_list_are_read() -> None:
    entry = entry_of(4, {**BY_CLI, "startTime": "2026-11-24T12:00:00.000Z", "endTime": "2026-11-24T12:00:05.000Z"})
    assert (entry.ended - entry.started).total_seconds() == 5


@pytest.mark.parametrize("version", [0, 3], ids=["before the first", "after the last"])
def test_a_version_that_is_not_kept_is_refused_with_those_that_are(files: StackFiles, version: int) -> None:
    put(files, {})
    put(files, {})
    with pytest.raises(InvalidInput) as caught:
        deployment_at(files, version)
    assert "1 to 2" in str(caught.value.hint)


def test_an_entry_cut_short_is_told_with_its_file(files: StackFiles) -> None:
    path = files.history / "s-1-1.history.json"
    write_atomically(path, b'{"kind": "upd')
    with pytest.raises(StateCorrupt) as caught:
        read_history(files)
    assert caught.value.where == str(path)
