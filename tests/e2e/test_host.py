"""What `make up` leaves on the host: processes, listening addresses, file modes, servers."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import testinfra

from tests.e2e.user import User

SERVERS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "bao",
    "mariadbd",
    "redis-server",
)


@pytest.fixture(scope="module")
def host() -> Any:
    return testinfra.get_host("local://")


@pytest.fixture(scope="module")
def pids(user: User) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in user.json("local", "status")["parts"] if part["pid"]}


def _family(pids: dict[str, int]) -> list[psutil.Process]:
    """Every process of the platform: the parts, what they started, and the supervisor above them."""
    parts = [psutil.Process(pid) for pid in pids.values()]
    above = {parent.pid: parent for part in parts if (parent := part.parent()) is not None and parent.pid != 1}
    return [*above.values(), *parts, *(child for part in parts for child in part.children(recursive=True))]


def test_status_says_that_every_part_runs(user: User) -> None:
    parts = user.json("local", "status")["parts"]
    assert {part["name"]: part["state"] for part in parts} == dict.fromkeys((part["name"] for part in parts), "running")
    assert len(parts) >= len(SERVERS)


@pytest.mark.parametrize("server", SERVERS)
def test_the_server_runs_as_a_real_process(host: Any, pids: dict[str, int], server: str) -> None:
    running = [process for process in host.process.filter(comm=server[:15]) if process.pid in pids.values()]
    assert running


def test_nothing_listens_beyond_loopback(pids: dict[str, int]) -> None:
    listening: list[tuple[str, str]] = []
    for process in _family(pids):
        with suppress(psutil.NoSuchProcess):  # a part's short-lived child
            found = [one for one in process.net_connections(kind="inet") if one.status == psutil.CONN_LISTEN]
            listening += [(process.name(), one.laddr.ip) for one in found]
    assert len(listening) >= len(SERVERS) - 2
    assert [found for found in listening if found[1] not in {"127.0.0.1", "::1"}] == []


def test_no_file_of_the_users_data_folder_is_readable_by_others(user: User) -> None:
    """Folders may be passed through where a part's own account needs to; files give nothing away."""
    closed: set[Path] = set()
    open_files: list[str] = []
    for folder, _, names in os.walk(user.home):
        path = Path(folder)
        mode = stat.S_IMODE(path.stat().st_mode)
        if path != user.home and not mode & 0o007:
            closed.add(path)
        if any(parent in closed for parent in (path, *path.parents)):
            continue
        open_files += [
            str(path / name)
            for name in names
            if (path / name).lstat().st_mode & 0o007 and not (path / name).is_symlink()
        ]
    assert open_files == []


def test_plain_mariadb_works_without_a_password_anywhere(user: User) -> None:
    assert user.shell("mariadb -N -e 'select 1'").stdout.split() == ["1"]
    assert "password" not in user.shell('cat "$MYSQL_HOME/my.cnf"').stdout


def test_mariadb_answers_over_tls_only_and_knows_no_anonymous_user(user: User) -> None:
    assert user.shell("mariadb -N -e 'select @@require_secure_transport'").stdout.split() == ["1"]
    for way in ("-h 127.0.0.1", ""):
        refused = user.shell(f"mariadb {way} -u nobody -e 'select 1'", code=1)
        assert "Access denied for user 'nobody'" in refused.stderr


def test_openbao_is_unsealed_and_writes_an_audit_log(user: User) -> None:
    assert "Sealed" in user.shell("bao status").stdout
    assert " file " in user.shell("bao audit list").stdout


def test_kubernetes_is_a_real_api_server(user: User) -> None:
    assert "ok" in user.shell("kubectl get --raw /readyz").stdout
    assert user.shell("kubectl get nodes --no-headers").stdout.count(" Ready ") >= 1
