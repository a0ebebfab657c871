"""SIGKILL at many moments of `tenantry tenant up` and `destroy`, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from tests.e2e.traces import Traces, look
from tests.e2e.user import ROOT, User

MOMENTS = 8
DESTROYED_AT = (1, 4)
LIMIT_S = 120.0


def manifest(name: str) -> str:
    return (
        "apiVersion: tenantry.dev/v1alpha1\n"
        "kind: Tenant\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        f"  displayName: {name}\n"
        "  owner: someone@example.com\n"
        "  plan: starter\n"
        "  environment: test\n"
        "  backup: {enabled: false}\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files that a tenant's run writes, in which its progress shows."""

    cell: Path
    name: str

    @property
    def journal(self) -> Path:
        return self.cell / "state" / ".tenantry" / "tenantry" / self.name / "journal.jsonl"

    @property
    def locks(self) -> Path:
        return self.cell / "state" / ".pulumi" / "locks" / "organization" / "tenantry" / self.name

    def state(self) -> tuple[tuple[int, int, int] | None, ...]:
        watched = (
            self.cell / "tenants" / f"{self.name}.json",
            self.cell / "state" / "settings" / "tenantry" / f"Pulumi.{self.name}.yaml",
            self.cell / "state" / ".pulumi" / "stacks" / "tenantry" / f"{self.name}.json",
            self.journal,
        )
        return tuple(_stamp(path) for path in watched)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def follow(user: User, files: Files, *arguments: str, kill_at: int | None = None) -> tuple[int, bool]:
    """Run a command and count the changes of the tenant's files; SIGKILL it with its workers at the n-th.

    Gives the changes seen, and whether it was killed: changes a moment apart may be seen as one, so a run can end
    before the n-th.
    """
    process = subprocess.Popen(
        ["tenantry", *arguments],
        cwd=ROOT,
        env=user.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    seen, last = 0, files.state()
    deadline = time.monotonic() + LIMIT_S
    pause = Event()
    killed = False
    try:
        while process.poll() is None and seen != kill_at and time.monotonic() < deadline:
            pause.wait(0.001)
            if (now := files.state()) != last:
                seen, last = seen + 1, now
    finally:
        if process.poll() is None:
            killed = True
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=LIMIT_S)
    assert time.monotonic() < deadline
    return seen, killed


@pytest.fixture(scope="module")
def user(user: User) -> User:
    """In a cell without an operator: the command runs the stacks itself."""
    return user.without_operator()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tenant files: `kill-0` is never killed, the others at one moment each."""
    made = tmp_path_factory.mktemp("tenants")
    for number in range(MOMENTS + 1):
        (made / f"kill-{number}.yaml").write_text(manifest(f"kill-{number}"))
    return made


@pytest.fixture(scope="module")
def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


@pytest.fixture(scope="module")
def cell(user: User) -> Path:
    return user.home / "cells" / "default"


@pytest.fixture(scope="module")
def killed_at(user: User, folder: Path, cell: Path) -> Iterator[dict[str, int]]:
    """Tenants whose first run was killed, after how many changes of their files; then all files were applied."""
    whole, _ = follow(user, Files(cell=cell, name="kill-0"), "tenant", "up", str(folder / "kill-0.yaml"))
    moments: dict[str, int] = {}
    for number in range(1, MOMENTS + 1):
        name = f"kill-{number}"
        moment = 1 + (number - 1) * (whole - 1) // (MOMENTS - 1)
        file = str(folder / f"{name}.yaml")
        seen, killed = follow(user, Files(cell=cell, name=name), "tenant", "up", file, kill_at=moment)
        if killed:
            moments[name] = seen
    try:
        user.types("tenantry", "tenant", "up", str(folder))
        yield moments
    finally:
        left = {one["name"] for one in user.json("tenant", "list")["tenants"]} & {one.stem for one in folder.iterdir()}
        with ThreadPoolExecutor(2) as two:
            list(two.map(lambda name: user.types("tenantry", "tenant", "destroy", name, "--yes"), sorted(left)))


@pytest.fixture(scope="module")
def traces(user: User, killed_at: dict[str, int]) -> dict[str, Traces]:
    return look(user, ["kill-0", *killed_at])


def test_the_moments_reach_from_the_first_change_to_the_last(killed_at: dict[str, int]) -> None:
    assert min(killed_at.values()) <= 2
    assert len(set(killed_at.values())) >= 6


def test_the_next_run_makes_what_an_undisturbed_one_makes(killed_at: dict[str, int], traces: dict[str, Traces]) -> None:
    undisturbed = traces["kill-0"]
    assert len(undisturbed.found["objects"]) > 20
    assert {name: traces[name].found for name in killed_at} == dict.fromkeys(killed_at, undisturbed.found)


def test_nothing_is_there_twice(traces: dict[str, Traces]) -> None:
    for one in traces.values():
        assert len(one.incarnations) == 1
        assert one.found["cluster"].count("namespace/t-NAME-ID") == 1
        assert one.found["mariadb"] == ["t_NAME_ID", "t_NAME_ID_a", "t_NAME_ID_b"]
        for listed in one.found.values():
            assert len(listed) == len(set(listed))


def test_no_lock_and_no_journal_is_left(cell: Path, names: list[str], traces: dict[str, Traces]) -> None:
    assert all(traces.values())
    for name in names:
        files = Files(cell=cell, name=name)
        assert not files.journal.exists()
        assert list(files.locks.iterdir()) == []


def test_a_preview_after_it_is_empty(user: User, folder: Path, killed_at: dict[str, int]) -> None:
    previews = user.json("tenant", "preview", str(folder))["tenants"]
    assert len(previews) > len(killed_at)
    assert {one["tenant"]: one["changes"] for one in previews} == {one["tenant"]: [] for one in previews}


def test_a_killed_destroy_is_finished_by_the_next(user: User, cell: Path, killed_at: dict[str, int]) -> None:
    chosen = dict(zip(sorted(killed_at), DESTROYED_AT, strict=False))
    for name, moment in chosen.items():
        files = Files(cell=cell, name=name)
        assert follow(user, files, "tenant", "destroy", name, "--yes", kill_at=moment) == (moment, True)
    left = look(user, list(chosen))
    assert all(left.values())
    for name in chosen:
        user.types("tenantry", "tenant", "destroy", name, "--yes")
    gone = look(user, list(chosen))
    assert {name: one.found for name, one in gone.items() if one} == {}


def test_a_destroyed_tenant_can_be_made_anew(user: User, folder: Path, killed_at: dict[str, int]) -> None:
    name = min(killed_at)
    (made,) = user.json("tenant", "up", str(folder / f"{name}.yaml"))["tenants"]
    assert made["counts"]["create"] > 20
    assert json.dumps(made).count("error") == 0
