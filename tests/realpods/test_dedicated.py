"""A tenant with a database server of its own, in a pod. It begins from the backup of a tenant on the shared one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from tenantry.fleet.deletions import Deletions
from tenantry.local.layout import Layout
from tenantry.local.volumes import LocalPath
from tests.e2e.user import User
from tests.integration.deprovisioning.conftest import grace_is_over
from tests.realpods.conftest import Kubectl, ask, real_platform

_OWN = ("plan: growth", "environment: staging", "database: {tier: dedicated}")
_SENT = 40
_MORE = 150
"""More than the campaign adds while the tests run."""
_KNOWN = "a text that nobody else has written"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A platform of its own: a staging tenant keeps its grace period, and the node has room for few."""
    with real_platform(tmp_path_factory.mktemp("own")) as someone:
        yield someone


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tenants")


def _up(user: User, folder: Path, name: str, *fields: str, code: int = 0) -> str:
    """Apply a tenant's file; the namespace."""
    spec = ["displayName: Somebody", "owner: someone@example.com", "workload: reference", *fields]
    if not any(field.startswith("release:") for field in fields):
        spec.append("release: '1.0'")
    file = folder / f"{name}.yaml"
    file.write_text(
        f"apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{{', '.join(spec)}}}\n"
    )
    (one,) = user.json("tenant", "up", str(file), code=code)["tenants"]
    return str(one.get("namespace"))


@pytest.fixture(scope="module")
def source(user: User, kubectl: Kubectl, folder: Path) -> str:
    """Name of a tenant on the shared server that has sent its messages and was backed up."""
    namespace = _up(user, folder, "source", "plan: starter", "environment: test")
    ask(kubectl, namespace, f"/messages?count={_SENT}", "POST")
    _await_sent(kubectl, namespace, _SENT)
    user.types("tenantry", "tenant", "backup", "source")
    return "source"


@pytest.fixture(scope="module")
def namespace(user: User, folder: Path, source: str) -> str:
    return _up(user, folder, "safe", *_OWN, f"origin: {{tenant: {source}}}")


@retry(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True)
def _await_sent(kubectl: Kubectl, namespace: str, least: int) -> int:
    """Until all is sent, once each; how many. The campaign's own schedule adds ten at each quarter of an hour."""
    counts = ask(kubectl, namespace, "/counts")
    assert counts["queued"] >= least
    assert counts == {"queued": counts["queued"], "sent": counts["queued"], "waiting": 0, "duplicates": 0}
    return int(counts["queued"])


def _inside(kubectl: Kubectl, namespace: str, command: str, text: str = "") -> str:
    """A command in the database's container."""
    return kubectl("exec", "-i", f"-n={namespace}", "database-0", "-c=database", "--", "sh", "-c", command, text=text)


def _sql(kubectl: Kubectl, namespace: str, statements: str) -> str:
    """As the server's root, on its socket."""
    command = 'mariadb --no-defaults --socket=/run/mysqld/mysqld.sock -uroot -p"$(cat /etc/tenantry/root/password)" -N'
    return _inside(kubectl, namespace, command, statements)


def test_it_began_from_the_others_backup(user: User, kubectl: Kubectl, namespace: str) -> None:
    _await_sent(kubectl, namespace, _SENT)
    conditions = {one["type"]: one["status"] for one in user.json("tenant", "show", "safe")["conditions"]}
    assert (conditions["Ready"], conditions["Restored"], conditions["WorkloadSimulated"]) == ("True", "True", "False")
    pod = json.loads(kubectl("get", "pod", f"-n={namespace}", "database-0", "-o=json"))
    assert pod["spec"]["nodeName"] == "local-real"


def test_nothing_of_its_data_can_be_read_from_the_disk(kubectl: Kubectl, namespace: str, layout: Layout) -> None:
    _sql(
        kubectl,
        namespace,
        f"CREATE DATABASE seen; CREATE TABLE seen.t (a TEXT); INSERT INTO seen.t VALUES (REPEAT('{_KNOWN}', 100));"
        "FLUSH TABLES seen.t FOR EXPORT; UNLOCK TABLES;",
    )
    files = [path for path in (layout.part(LocalPath.name) / "data").rglob("*") if path.is_file()]
    assert "t.ibd" in {path.name for path in files}
    assert not [path for path in files if _KNOWN.encode() in path.read_bytes()]
    assert (
        _sql(kubectl, namespace, f"SELECT COUNT(*) FROM seen.t WHERE a LIKE '%{_KNOWN}%'; DROP DATABASE seen;") == "1\n"
    )


def test_nobody_logs_in_who_should_not(kubectl: Kubectl, namespace: str) -> None:
    password = '-p"$(cat /etc/tenantry/root/password)"'

    def login(options: str) -> str:
        command = f"mariadb --no-defaults --host=127.0.0.1 {options} -N -e 'SELECT 7' 2>&1 || :"
        return _inside(kubectl, namespace, command)

    assert login(f"--ssl --user=root {password}") == "7\n"
    assert "ERROR" in login(f"--skip-ssl --user=root {password}")
    assert "ERROR 1045" in login("--ssl --user=root")
    # The password that both accounts had until OpenBao took them over.
    assert "ERROR 1045" in login(f"--ssl --user={namespace.replace('-', '_')}_b {password}")


def test_it_is_backed_up_and_brought_back(user: User, kubectl: Kubectl, namespace: str) -> None:
    user.types("tenantry", "tenant", "backup", "safe")
    ask(kubectl, namespace, f"/messages?count={_MORE}", "POST")
    _await_sent(kubectl, namespace, _SENT + _MORE)
    user.types("tenantry", "tenant", "restore", "safe", "--yes")
    assert _await_sent(kubectl, namespace, _SENT) < _SENT + _MORE
    left = set(_sql(kubectl, namespace, "SHOW DATABASES").split())
    assert left == {"information_schema", "mysql", "performance_schema", "sys", namespace.replace("-", "_")}


def test_a_release_that_fails_leads_back(
    user: User, kubectl: Kubectl, namespace: str, folder: Path, source: str
) -> None:
    fields = (*_OWN, f"origin: {{tenant: {source}}}")
    _up(user, folder, "safe", *fields, "release: 1.2-bad", code=1)
    _await_sent(kubectl, namespace, _SENT)
    assert ask(kubectl, namespace, "/smoke") == {"release": "1.0", "schema": 1}
    _up(user, folder, "safe", *fields)


def test_a_killed_server_comes_back_with_every_row(user: User, kubectl: Kubectl, namespace: str) -> None:
    kubectl("delete", "pod", f"-n={namespace}", "database-0", "--grace-period=0", "--force")
    _await_sent(kubectl, namespace, _SENT)
    user.types("tenantry", "tenant", "status", "safe", "--wait")


def test_another_moves_to_the_shared_server(user: User, kubectl: Kubectl, namespace: str, folder: Path) -> None:
    user.types("tenantry", "tenant", "destroy", "source", "--yes")
    moved = _up(user, folder, "moved", "plan: starter", "environment: test", "origin: {tenant: safe}")
    _await_sent(kubectl, moved, _SENT)


def test_deleted_it_is_gone_from_its_disk_too(user: User, kubectl: Kubectl, namespace: str, layout: Layout) -> None:
    volumes = layout.part(LocalPath.name) / "data"
    assert [path for path in volumes.iterdir() if namespace in path.name]
    user.types("tenantry", "tenant", "delete", "safe", "--yes")
    deletions = Deletions(user.home / "cells" / "default")
    with deletions.exclusive("safe"):
        grace_is_over(deletions, "safe")
    kubectl("annotate", "tenant", "safe", "tests/look=again")
    user.types("tenantry", "tenant", "delete", "safe", "--yes")
    user.types("tenantry", "tenant", "certificate", "safe", "--verify")
    found = user.json("tenant", "certificate", "safe")["payload"]
    assert found["found"]["database"]["tables"] > 0
    assert found["finalBackup"]["id"]
    assert found["inventory"]["result"] == "nothing-left"
    assert not [path for path in volumes.iterdir() if namespace in path.name]
