"""A real platform of its own: every part, its life, what it leaves on the machine."""

from __future__ import annotations

import getpass
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry, stop_after_delay, wait_fixed

from tenantry.local import LocalPlatform, State
from tenantry.local.layout import Layout, read_json
from tenantry.tenancy.errors import DependencyUnavailable, Locked

_PARTS = {
    "openbao",
    "mariadb",
    "redis",
    "epmd",
    "rabbitmq",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform that these tests may stop and break."""
    found = LocalPlatform("life", tmp_path_factory.mktemp("life") / "home")
    try:
        found.up(print)
        yield found
    finally:
        found.remove()


def _states(platform: LocalPlatform) -> dict[str, State]:
    return {part.name: part.state for part in platform.status()}


def _pids(platform: LocalPlatform) -> dict[str, int | None]:
    return {part.name: part.pid for part in platform.status()}


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), reraise=True)
def _await_running(platform: LocalPlatform) -> None:
    assert _states(platform) == dict.fromkeys(_PARTS, State.RUNNING)


def _run(platform: LocalPlatform, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **platform.environment(), **more}
    # Named by its path: a search by name would use the caller's PATH.
    program = Path(environment["PATH"].split(os.pathsep)[0]) / command[0]
    return subprocess.run(
        [str(program) if program.exists() else command[0], *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _processes(platform: LocalPlatform) -> list[psutil.Process]:
    pids = [pid for pid in _pids(platform).values() if pid is not None]
    supervisor = psutil.Process(pids[0]).parent()
    assert supervisor is not None
    return [supervisor, *supervisor.children(recursive=True)]


def test_every_part_answers(own: LocalPlatform) -> None:
    _await_running(own)


def test_a_second_up_changes_nothing(own: LocalPlatform) -> None:
    _await_running(own)
    before, said = _pids(own), list[str]()
    own.up(said.append)
    assert _pids(own) == before
    assert said == []


def test_everything_listens_on_loopback_only(own: LocalPlatform) -> None:
    addresses = {
        connection.laddr.ip
        for process in _processes(own)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert "127.0.0.1" in addresses
    assert addresses <= {"127.0.0.1", "::1"}


def test_no_process_shows_a_secret(own: LocalPlatform) -> None:
    layout = Layout.of(own.name, own.home)
    files = [*layout.accounts.iterdir(), *layout.bootstrap.iterdir()]
    secrets = {read_json(path)["password"] for path in files} | {own.environment()["BAO_TOKEN"]}
    assert len(secrets) == 7
    shown = [" ".join((*process.cmdline(), *process.environ().values())) for process in _processes(own)]
    assert not [secret for secret in secrets if any(secret in text for text in shown)]


def test_files_are_closed_to_others(own: LocalPlatform) -> None:
    layout = Layout.of(own.name, own.home)
    roots = (layout.bootstrap, layout.accounts, layout.authorities, layout.logs, layout.client, layout.supervisor)
    found = [path for root in roots for path in root.rglob("*") if path.is_file()]
    assert len(found) > 20
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    folders = [path for path in layout.parts.iterdir() if path.is_dir()]
    assert {path.name for path in folders} == _PARTS
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_a_users_own_commands_work(own: LocalPlatform) -> None:
    nodes = _run(own, "kubectl", "get", "nodes", "--output=name")
    assert nodes.stdout.split() == ["node/local-a", "node/local-b", "node/local-c"], nodes.stderr
    mounts = _run(own, "bao", "secrets", "list", "-format=json")
    assert '"cell/"' in mounts.stdout, mounts.stderr
    administrator = _run(own, "mariadb", "--batch", "--skip-column-names", "--execute=SELECT 1, CURRENT_USER()")
    assert administrator.stdout.split() == ["1", f"{getpass.getuser()}@localhost"], administrator.stderr
    login = read_json(Layout.of(own.name, own.home).bootstrap / "mariadb.json")
    version = _run(
        own,
        "mariadb",
        "--host=127.0.0.1",
        "--user=tenantry",
        "--batch",
        "--execute=SHOW STATUS LIKE 'Ssl_version'",
        MYSQL_PWD=login["password"],
    )
    assert "TLSv1" in version.stdout, version.stderr


def test_a_claim_gets_a_simulated_volume(own: LocalPlatform, tmp_path: Path) -> None:
    claim = tmp_path / "claim.yaml"
    claim.write_text(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: shared, namespace: default}\n"
        "spec: {accessModes: [ReadWriteMany, ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
    )
    assert _run(own, "kubectl", "apply", f"--filename={claim}").returncode == 0
    done = _run(own, "kubectl", "wait", "pvc/shared", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")
    assert done.returncode == 0, done.stderr


def test_pods_of_a_node_that_was_late_are_ready_again(own: LocalPlatform) -> None:
    made = _run(own, "kubectl", "create", "deployment", "late", "--image=registry.example.com/late:1")
    assert made.returncode == 0, made.stderr
    wait = ("kubectl", "wait", "pods", "--selector=app=late", "--timeout=30s")
    assert _run(own, *wait, "--for=create").returncode == 0
    assert _run(own, *wait, "--for=condition=Ready").returncode == 0
    (pod,) = _run(own, "kubectl", "get", "pods", "--selector=app=late", "--output=name").stdout.split()
    # What Kubernetes writes when a node has not been heard of.
    unready = '{"status": {"conditions": [{"type": "Ready", "status": "False"}]}}'
    done = _run(own, "kubectl", "patch", pod, "--subresource=status", f"--patch={unready}")
    assert done.returncode == 0, done.stderr
    assert _run(own, *wait, "--for=condition=Ready").returncode == 0


def test_tables_are_encrypted_on_disk(own: LocalPlatform) -> None:
    layout = Layout.of(own.name, own.home)
    password = read_json(layout.bootstrap / "mariadb.json")["password"]
    marker = "a-text-that-must-not-stand-on-disk"
    done = _run(
        own,
        "mariadb",
        "--user=tenantry",
        f"--execute=CREATE DATABASE kept; CREATE TABLE kept.t (a TEXT); INSERT INTO kept.t VALUES ('{marker}');"
        " FLUSH TABLES kept.t FOR EXPORT; UNLOCK TABLES",
        MYSQL_PWD=password,
    )
    assert done.returncode == 0, done.stderr
    files = [path for path in (layout.part("mariadb") / "data").rglob("*") if path.is_file()]
    assert any(path.name == "t.ibd" for path in files)
    assert [path for path in files if marker.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("name", ["redis", "openbao", "etcd", "mariadb"])
def test_a_killed_part_comes_back_by_itself(own: LocalPlatform, name: str) -> None:
    _await_running(own)
    pid = _pids(own)[name]
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)
    _await_running(own)
    assert _pids(own)[name] != pid


def test_a_sealed_openbao_is_said_plainly_and_unsealed_by_up(own: LocalPlatform) -> None:
    _await_running(own)
    assert _run(own, "bao", "operator", "seal").returncode == 0
    sealed = next(part for part in own.status() if part.name == "openbao")
    assert sealed.state is State.SEALED
    assert "tenantry local up" in sealed.hint
    own.up(print)
    _await_running(own)


def test_a_large_audit_log_is_set_aside_by_up(own: LocalPlatform) -> None:
    log = Layout.of(own.name, own.home).part("openbao") / "audit" / "audit.log"
    os.truncate(log, 51 * 2**20)
    own.up(print)
    assert log.with_name("audit.log.1").stat().st_size >= 51 * 2**20
    for attempt in Retrying(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True):
        with attempt:
            assert _run(own, "bao", "audit", "list").returncode == 0
            assert "sys/audit" in log.read_text(encoding="utf-8")
    assert log.stat().st_mode & 0o777 == 0o600


def test_two_commands_at_once_are_told_apart(own: LocalPlatform) -> None:
    def meddle(_: str) -> None:
        raise AssertionError

    with own._at_work(), pytest.raises(Locked, match="another command"):
        LocalPlatform(own.name, own.home).up(meddle)


def test_down_and_up_keep_data_ports_and_adopted_logins(own: LocalPlatform) -> None:
    layout = Layout.of(own.name, own.home)
    password = read_json(layout.bootstrap / "mariadb.json")["password"]
    (layout.bootstrap / "redis.json").unlink()
    addresses = {part.name: part.address for part in own.status()}
    processes = _processes(own)
    own.down()
    assert not [process for process in processes if process.is_running()]
    assert set(_states(own).values()) == {State.STOPPED}
    own.up(print)
    _await_running(own)
    assert {part.name: part.address for part in own.status()} == addresses
    assert not (layout.bootstrap / "redis.json").exists()
    assert "shared" in _run(own, "kubectl", "get", "pvc", "--namespace=default").stdout
    rows = _run(own, "mariadb", "--user=tenantry", "--execute=SELECT COUNT(*) FROM kept.t", MYSQL_PWD=password)
    assert "1" in rows.stdout.split(), rows.stderr


def test_a_killed_machine_comes_up_again_over_stale_sockets(own: LocalPlatform) -> None:
    processes = _processes(own)
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)
    assert set(_states(own).values()) == {State.STOPPED}
    own.up(print)
    _await_running(own)


def test_a_taken_port_names_the_part_and_nothing_is_lost(own: LocalPlatform) -> None:
    import socket

    port = next(int(part.address.rsplit(":", 1)[1]) for part in own.status() if part.name == "redis")
    own.down()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen(1)
        with pytest.raises(DependencyUnavailable, match=f"port {port} of redis is taken"):
            own.up(print)
    own.up(print)
    _await_running(own)


def test_an_existing_cluster_replaces_the_control_plane(own: LocalPlatform, tmp_path: Path) -> None:
    guest = LocalPlatform("guest", tmp_path / "guest", kubeconfig=Path(own.environment()["KUBECONFIG"]))
    try:
        guest.up(print)
        states = _states(guest)
        assert set(states) == {"openbao", "mariadb", "redis", "epmd", "rabbitmq", "kubernetes"}
        assert set(states.values()) == {State.RUNNING}
        assert "simulatedNodes: false" in guest.cell_file.read_text()
    finally:
        guest.remove()
    assert not guest.home.exists()


def test_a_cluster_that_does_not_answer_is_said_before_anything_starts(tmp_path: Path) -> None:
    guest = LocalPlatform("guest", tmp_path / "guest", kubeconfig=tmp_path / "nothing")
    with pytest.raises(DependencyUnavailable, match="cluster cannot be used"):
        guest.up(print)
    assert guest.status()[0].state is State.STOPPED
    guest.remove()
