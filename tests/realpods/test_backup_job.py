"""The tenant's own backup Job in a real pod: it logs in by its service account, dumps, and writes to a store by S3."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tenacity import retry, stop_after_delay, wait_fixed

from tenantry.local.layout import Layout, read_json
from tenantry.local.node import NodePlace
from tenantry.local.packages import programs
from tenantry.local.part import web
from tenantry.local.pki import Authority, Leaf
from tenantry.local.ports import choose
from tests.e2e.user import User
from tests.programs import VERSITYGW, built
from tests.realpods.conftest import Kubectl, ask

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: kept}
spec: {displayName: Kept, owner: someone@example.com, plan: starter, environment: test, workload: reference}
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
    bucket = folder / "data" / "copies"
    bucket.mkdir(parents=True)
    leaf = Leaf(common_name="store", server=True, addresses=(place.gateway,))
    certificate, key = Authority(layout.authorities, "local").issue(folder, "store", leaf)
    port = choose(["store"])["store"]
    rule = f'iifname "{place.bridge}" ip daddr {place.gateway} tcp dport {port} accept'
    subprocess.run([programs()["nft"], f"insert rule inet {place.guard} input {rule}"], check=True)
    login = {"ROOT_ACCESS_KEY_ID": _ACCESS, "ROOT_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"]}
    command = [built(VERSITYGW), "--port", f"{place.gateway}:{port}", "--cert", certificate, "--key", key, "posix"]
    with subprocess.Popen(
        [*command, str(bucket.parent)], env=os.environ | login, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        address = f"https://{place.gateway}:{port}"
        _await_answer(layout, address)
        yield address, bucket
        process.terminate()
    user.types("tenantry", "local", "up")  # whose packet rules know nothing of it


@retry(stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True)
def _await_answer(layout: Layout, address: str) -> None:
    with web(authority_file=layout.ca_file) as client:
        assert client.request("GET", address).status


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
    fields = f"access_key_id={_ACCESS} secret_access_key={keys['AWS_SECRET_ACCESS_KEY']}"
    alone.shell(f"bao kv put -mount=kv tenants/{one['namespace']}/backup-store {fields}")
    yield str(one["namespace"])
    alone.types("tenantry", "tenant", "destroy", "kept", "--yes")


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
