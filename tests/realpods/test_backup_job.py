"""The tenant's own backup Job in a real pod: it logs in by its service account, dumps, and writes to a store by S3."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tenantry.local.layout import Layout, read_json
from tenantry.local.node import NodePlace
from tenantry.local.operating import Operator
from tenantry.local.packages import programs
from tenantry.local.pki import Authority, Leaf
from tenantry.local.ports import choose
from tenantry.local.supervisor import Supervisor
from tenantry.local.volumes import LocalPath
from tests.e2e.user import ROOT, User
from tests.integration.backup.conftest import eventually, process
from tests.realpods.conftest import Kubectl, ask, pods
from tests.s3 import Login, s3_store

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: kept}
spec:
  displayName: Kept
  owner: someone@example.com
  plan: starter
  environment: test
  workload: reference
  modules: {files: {enabled: true}}
"""
_ACCESS = "kept-access"


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """The store's only login: the tenant's, and here the operator's as well."""
    return {"AWS_ACCESS_KEY_ID": _ACCESS, "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}


@pytest.fixture(scope="module")
def store(
    user: User, layout: Layout, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """An S3-compatible store on the bridge, where pods reach it: its address, and the folder behind its bucket."""
    place = NodePlace.of(layout, read_json(layout.record)["subnet"])
    folder = tmp_path_factory.mktemp("store")
    leaf = Leaf(common_name="store", server=True, addresses=(place.gateway,))
    certificate, key = Authority(layout.authorities, "local").issue(folder, "store", leaf)
    port = choose(["store"])["store"]
    rule = f'iifname "{place.bridge}" ip daddr {place.gateway} tcp dport {port} accept'
    subprocess.run([programs()["nft"], f"insert rule inet {place.guard} input {rule}"], check=True)
    login = Login(access=_ACCESS, secret=keys["AWS_SECRET_ACCESS_KEY"])
    with s3_store(folder, "copies", host=place.gateway, port=port, login=login, tls=(certificate, key)) as bucket:
        yield f"https://{place.gateway}:{port}", bucket
    user.types("tenantry", "local", "up")  # whose packet rules know nothing of it


@pytest.fixture(scope="module")
def alone(user: User, store: tuple[str, Path], keys: dict[str, str]) -> User:
    """The user with a cell file of theirs that names this store. Their commands run the stacks themselves."""
    someone = user.without_operator()
    yaml, path = YAML(), Path(someone.more["TENANTRY_CELL"])
    content = yaml.load(path.read_text())
    address, _ = store
    cidr = f"{address.removeprefix('https://').partition(':')[0]}/32"
    content["spec"]["backups"] = {"kind": "s3", "url": f"{address}/copies", "peer": {"cidr": cidr}}
    with path.open("w") as file:
        yaml.dump(content, file)
    return User(home=someone.home, more=someone.more | keys)


@pytest.fixture(scope="module")
def namespace(alone: User, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("tenant") / "kept.yaml"
    file.write_text(TENANT)
    (one,) = alone.json("tenant", "up", str(file))["tenants"]
    assert "error" not in one
    _let_in(alone, one["namespace"], keys)
    yield str(one["namespace"])
    alone.types("tenantry", "tenant", "destroy", "kept", "--yes")


def _let_in(alone: User, namespace: str, keys: dict[str, str]) -> None:
    """Give a tenant its login to the store."""
    fields = f"access_key_id={_ACCESS} secret_access_key={keys['AWS_SECRET_ACCESS_KEY']}"
    alone.shell(f"bao kv put -mount=kv tenants/{namespace}/backup-store {fields}")


def test_the_scheduled_job_runs_in_its_pod(
    alone: User, kubectl: Kubectl, namespace: str, store: tuple[str, Path]
) -> None:
    ask(kubectl, namespace, "/messages?count=5", "POST")
    kubectl("create", "job", f"-n={namespace}", "--from=cronjob/backup", "by-hand")
    kubectl("wait", f"-n={namespace}", "--for=condition=complete", "job/by-hand", "--timeout=180s")
    (backup,) = alone.json("tenant", "backups", "kept")["backups"]
    _, bucket = store
    assert (bucket / "tenants" / namespace / backup["id"] / "manifest.json").exists()
    proof = alone.json("tenant", "prove", "kept")
    assert (proof["backup"], proof["proven"]) == (backup["id"], True)
    assert proof["rows"] > 0
    # A pod of it takes the room in the quota that the next needs.
    kubectl("delete", "job", f"-n={namespace}", "by-hand")


def test_one_that_is_asked_for_is_taken_by_a_job_too(alone: User, namespace: str) -> None:
    (before,) = alone.json("tenant", "backups", "kept")["backups"]
    alone.types("tenantry", "tenant", "backup", "kept")
    # Of one day the newest is kept.
    (after,) = alone.json("tenant", "backups", "kept")["backups"]
    assert after["id"] > before["id"]


def test_files_come_back_and_later_ones_stay(alone: User, kubectl: Kubectl, namespace: str, layout: Layout) -> None:
    def in_pod(script: str) -> str:
        return _in_pod(kubectl, namespace, script)

    in_pod("mkdir /files/year && echo old > /files/year/letter && echo old > /files/sign")
    alone.types("tenantry", "tenant", "backup", "kept")
    in_pod("rm -r /files/year && echo new > /files/sign && echo new > /files/later")
    done = alone.json("tenant", "restore", "kept", "--yes")
    assert done["leftOut"] == ""
    kubectl("wait", f"-n={namespace}", "--for=condition=available", "deployment/files", "--timeout=120s")
    assert in_pod("cat /files/year/letter /files/sign /files/later") == "old\nold\nnew\n"
    (folder,) = (layout.part(LocalPath.name) / "data").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["later", "sign", "year"]


def test_the_operator_begins_a_new_tenant_with_the_files_of_another(
    alone: User,
    kubectl: Kubectl,
    namespace: str,
    layout: Layout,
    store: tuple[str, Path],
    keys: dict[str, str],
    tmp_path: Path,
) -> None:
    _in_pod(kubectl, namespace, "mkdir /files/kept && head -c 3000000 /dev/urandom > /files/kept/picture")
    digest = _in_pod(kubectl, namespace, "sha256sum < /files/kept/picture")
    alone.types("tenantry", "tenant", "backup", "kept")
    file = tmp_path / "begun.yaml"
    file.write_text(TENANT.replace("kept", "begun") + "  origin: {tenant: kept, backup: latest}\n")
    with _operator_of(alone, layout, tmp_path):
        kubectl("apply", f"--filename={file}")
        other = eventually(lambda: kubectl("get", "namespace", "-l=tenantry.dev/tenant=begun", "-o=name").split("/")[1])
        _let_in(alone, other.strip(), keys)
        kubectl("wait", "--for=condition=Ready", "tenant/begun", "--timeout=240s")
        told = "jsonpath={.status.conditions[?(@.type=='Restored')].message}"
        assert "did not come" not in kubectl("get", "tenant", "begun", "-o", told)
        assert _in_pod(kubectl, other.strip(), "sha256sum < /files/kept/picture") == digest
        _, bucket = store
        assert not [path for path in (bucket / "tenants" / other.strip()).rglob("*") if path.is_file()]
        kubectl("delete", "tenant", "begun", "--timeout=240s")


@contextmanager
def _operator_of(alone: User, layout: Layout, folder: Path) -> Iterator[None]:
    """The platform's operator, with its own rights, on the cell that names the store. The platform's is stopped."""
    cell = folder / "cell.yaml"
    cell.write_text(Path(alone.more["TENANTRY_CELL"]).read_text().replace("operator: false", "operator: true"))
    port = choose(["operator"])["operator"]
    client = layout.part(Operator.name) / "client.json"
    supervisor = Supervisor(layout)
    supervisor.stop(Operator.name)
    command = (str(ROOT / ".venv/bin/tenantry"), "operator", "run", f"--cell={cell}", f"--port={port}")
    environment = alone.environment | {"KUBECONFIG": str(client)}
    try:
        with process(*command, log=folder / "operator.log", environment=environment):
            yield
    finally:
        supervisor.start(Operator.name)


def _in_pod(kubectl: Kubectl, namespace: str, script: str) -> str:
    (pod,) = pods(kubectl, namespace, "files")
    return kubectl("exec", f"-n={namespace}", pod["metadata"]["name"], "-c=files", "--", "sh", "-c", script)
