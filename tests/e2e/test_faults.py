"""What a user is told when something that Tenantry needs is broken, and that the same command recovers from it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import psutil
import pytest

from tenantry.local.layout import Layout
from tenantry.local.supervisor import Supervisor
from tests.e2e.user import ROOT, User

NAME = "fault"
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def user(user: User) -> User:
    """In a cell without an operator: the command runs the stacks itself."""
    return user.without_operator()


@pytest.fixture(scope="module")
def file(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a tenant that runs well."""
    made = tmp_path_factory.mktemp("faults") / f"{NAME}.yaml"
    _write(made, NAME)
    user.types("tenantry", "tenant", "up", str(made))
    yield made
    user.types("tenantry", "tenant", "destroy", NAME, "--yes")


@pytest.fixture(scope="module")
def state(user: User, file: Path) -> Path:
    """The tenant's state file."""
    return user.home / "cells" / "default" / "state" / ".pulumi" / "stacks" / "tenantry" / f"{file.stem}.json"


@pytest.fixture(scope="module")
def supervisor(user: User) -> Supervisor:
    return Supervisor(Layout.of("default", user.home / "local" / "default"))


def _write(path: Path, name: str) -> None:
    path.write_text(
        "apiVersion: tenantry.dev/v1alpha1\n"
        "kind: Tenant\n"
        f"metadata: {{name: {name}}}\n"
        "spec: {displayName: Fault, owner: someone@example.com, plan: starter, environment: test,"
        " backup: {enabled: false}}\n"
    )


@contextmanager
def _untouched(state: Path) -> Iterator[None]:
    """What stands in the state file is the same afterwards."""
    before = hashlib.sha256(state.read_bytes()).hexdigest()
    yield
    assert hashlib.sha256(state.read_bytes()).hexdigest() == before


def _recovers(user: User, file: Path) -> None:
    user.types("tenantry", "local", "up")
    (one,) = user.json("tenant", "up", str(file))["tenants"]
    assert "error" not in one


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a running command has written a file."""
    deadline = time.monotonic() + LIMIT_S
    pause = Event()
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        pause.wait(0.002)
    assert path.exists()


def _start(user: User, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["tenantry", *arguments],
        cwd=ROOT,
        env=user.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_each_part_that_is_down_is_named_and_one_command_brings_all_back(
    user: User, file: Path, state: Path, supervisor: Supervisor
) -> None:
    """Each is asked later in a run than the next one, so each message is of the part that was stopped last."""
    with _untouched(state):
        for part, said in (
            ("mariadb", "MariaDB"),
            ("kube-apiserver", "Kubernetes API server"),
            ("openbao", "OpenBao"),
        ):
            supervisor.stop(part)
            failed = user.types("tenantry", "tenant", "up", str(file), code=3)
            assert said in failed.stderr
            assert "cannot be reached" in failed.stderr
            assert "tenantry local status" in failed.stderr
        parts = {one["name"]: one for one in user.json("local", "status", code=3)["parts"]}
        assert {name for name, one in parts.items() if one["state"] == "stopped"} >= {
            "mariadb",
            "kube-apiserver",
            "openbao",
        }
        assert "tenantry local up" in parts["openbao"]["hint"]
        user.types("tenantry", "local", "down")
        failed = user.types("tenantry", "tenant", "up", str(file), code=3)
        assert "tenantry local status" in failed.stderr
    _recovers(user, file)


def test_a_sealed_openbao_and_a_taken_port_are_said(
    user: User, file: Path, state: Path, supervisor: Supervisor
) -> None:
    user.shell("bao operator seal")
    with _untouched(state):
        failed = user.types("tenantry", "tenant", "up", str(file), code=3)
    assert "sealed" in failed.stderr
    port = json.loads((user.home / "local" / "default" / "platform.json").read_text())["ports"]["redis"]
    supervisor.stop("redis")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        failed = user.types("tenantry", "local", "up", code=3)
    assert f"port {port} of redis is taken" in failed.stderr
    assert f"pid {os.getpid()}" in failed.stderr
    _recovers(user, file)


def test_a_database_that_hangs_is_not_waited_for_without_end(
    user: User, file: Path, state: Path, supervisor: Supervisor
) -> None:
    pid = supervisor.states()["mariadb"].pid
    assert pid is not None
    server = psutil.Process(pid)
    server.suspend()
    try:
        with _untouched(state):
            failed = user.types("tenantry", "tenant", "up", str(file), code=3)
    finally:
        server.resume()
    assert "MariaDB" in failed.stderr
    user.types("tenantry", "tenant", "up", str(file))


def test_no_platform_at_all_is_said(visitor: User, file: Path) -> None:
    failed = visitor.types("tenantry", "tenant", "up", str(file), code=3)
    assert "tenantry local up" in failed.stderr
    assert not (visitor.home / "cells").exists()


def test_a_second_run_of_a_tenant_is_refused_and_the_first_is_not_disturbed(
    user: User, file: Path, state: Path
) -> None:
    lock = state.parents[2] / "locks" / "organization" / "tenantry" / NAME
    for old in lock.glob("*.json"):
        raise AssertionError(f"{old} was left")
    held = state.parents[3] / ".tenantry" / "tenantry" / NAME / "lock"
    held.unlink()
    first = _start(user, "tenant", "up", str(file))
    try:
        _wait_for(held, first)
        _wait_for_text(held)
        os.killpg(first.pid, signal.SIGSTOP)
        second = user.types("tenantry", "tenant", "up", str(file), code=4)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
        _, said = first.communicate(timeout=LIMIT_S)
    assert first.returncode == 0, said
    owner = json.loads(held.read_text())
    assert f"pid {owner['pid']}" in second.stderr
    assert owner["hostname"] in second.stderr
    assert owner["timestamp"][:16] in second.stderr


def _wait_for_text(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    pause = Event()
    while not path.stat().st_size and time.monotonic() < deadline:
        pause.wait(0.001)
    assert path.stat().st_size


def test_a_state_file_cut_short_is_named_and_its_backup_works(user: User, file: Path, state: Path) -> None:
    backup = state.with_name(f"{state.name}.bak")
    state.write_bytes(state.read_bytes()[:-100])
    with _untouched(state):
        failed = user.types("tenantry", "tenant", "up", str(file), code=5)
    assert str(state) in failed.stderr
    assert str(backup) in failed.stderr
    state.write_bytes(backup.read_bytes())
    user.types("tenantry", "tenant", "up", str(file))
    (one,) = user.json("tenant", "preview", str(file))["tenants"]
    assert one["changes"] == []


def test_a_disk_that_is_full_is_said_and_the_next_run_goes_on(user: User, tmp_path: Path) -> None:
    """A small file system for the records and the state; where none may be mounted, a limit on the size of files."""
    made, disk = tmp_path / "disk.yaml", tmp_path / "disk"
    _write(made, "disk")
    disk.mkdir(mode=0o700)
    elsewhere = user.more | {"TENANTRY_HOME": str(disk)}
    up = f"tenantry tenant up --cell {elsewhere['TENANTRY_CELL']} {made}"
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k,mode=0700", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        failed = user.types("bash", "-c", up if mounted else f"ulimit -f 100; {up}", code=3, env=elsewhere)
        assert "disk is full" in failed.stderr
        assert str(disk) in failed.stderr
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        user.types("bash", "-c", up, env=elsewhere)
        assert not list((disk / "cells").rglob("journal.jsonl"))
        user.types("tenantry", "tenant", "destroy", "disk", "--yes", env=elsewhere)
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def test_a_record_that_cannot_be_written_is_said_before_anything_is_made(
    user: User, file: Path, state: Path, tmp_path: Path
) -> None:
    """The record keeps the tenant file's text, so a long comment takes it over the limit of 1 KiB."""
    longer = tmp_path / file.name
    longer.write_text(f"{file.read_text()}# {'long ' * 400}\n")
    with _untouched(state):
        failed = user.types("bash", "-c", f"ulimit -f 1; tenantry tenant up {longer}", code=3)
    assert "disk is full" in failed.stderr
    assert f"{NAME}.json" in failed.stderr


def test_a_run_that_is_stopped_again_and_again_is_finished_by_the_next(user: User, tmp_path: Path) -> None:
    """Ctrl-C at a terminal, which signals the workers too; then SIGTERM and SIGINT to the command alone."""
    name = f"stop-{secrets.token_hex(3)}"
    made = tmp_path / f"{name}.yaml"
    _write(made, name)
    lock = user.home / "cells" / "default" / "state" / ".tenantry" / "tenantry" / name / "lock"
    for whole_group, number in ((True, signal.SIGINT), (False, signal.SIGTERM), (False, signal.SIGINT)):
        lock.unlink(missing_ok=True)
        run = _start(user, "tenant", "up", str(made))
        try:
            _wait_for(lock, run)
            workers = psutil.Process(run.pid).children(recursive=True)
            (os.killpg if whole_group else os.kill)(run.pid, number)
            _, said = run.communicate(timeout=LIMIT_S)
        finally:
            run.kill()
        assert run.returncode == 130, said
        assert "run the same command again" in said
        assert "Traceback" not in said
        _, alive = psutil.wait_procs(workers, timeout=LIMIT_S)
        assert alive == []
    (one,) = user.json("tenant", "up", str(made))["tenants"]
    assert one["changes"]
    (after,) = user.json("tenant", "preview", str(made))["tenants"]
    assert after["changes"] == []
    user.types("tenantry", "tenant", "destroy", name, "--yes")


def test_four_tenants_at_once_from_four_commands(user: User, tmp_path: Path) -> None:
    names = [f"side-{number}" for number in range(4)]
    for name in names:
        _write(tmp_path / f"{name}.yaml", name)
    runs = [_start(user, "tenant", "up", str(tmp_path / f"{name}.yaml")) for name in names]
    said = [run.communicate(timeout=LIMIT_S)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0, 0], said
    previews = user.json("tenant", "preview", str(tmp_path))["tenants"]
    assert {one["tenant"]: one["changes"] for one in previews} == {name: [] for name in names}
    gone = [_start(user, "tenant", "destroy", name, "--yes") for name in names]
    said = [run.communicate(timeout=LIMIT_S)[1] for run in gone]
    assert [run.returncode for run in gone] == [0, 0, 0, 0], said
