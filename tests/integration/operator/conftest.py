"""An operator of its own beside the tests' platform: a real process, with the rights of its service account alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import urllib3
from kubernetes import client, config

from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import Cluster
from tenantry.fleet import Fleet
from tenantry.fleet.tenant_objects import TenantObjects, path_of
from tenantry.local import LocalPlatform
from tenantry.local.cluster import Authorities, kubeconfig
from tenantry.local.layout import Layout, read_json
from tenantry.local.operating import ACCOUNT
from tenantry.local.part import Site
from tenantry.local.pki import Authority, Leaf
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell, parse_tenant
from tenantry.tenancy.standing import Standing, standing_of

LIMIT_S = 300.0
MERGE = "application/merge-patch+json"


def cluster_of(path: Path) -> Cluster:
    configuration = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration)
    return Cluster(configuration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """root: the data folder. admin, operator: the API server as the administrator, and as the operator."""

    root: Path
    admin: Cluster
    operator: Cluster
    objects: TenantObjects
    audit_log: Path
    log: Path
    process: subprocess.Popen[bytes]

    def apply(self, text: str) -> dict[str, Any]:
        return self.objects.apply(parse_tenant(text), driver="cli", take_over=True)

    def patch(self, name: str, body: Mapping[str, Any], *, part: str = "") -> dict[str, Any]:
        return self.admin.request("PATCH", path_of(name) + part, body=body, content_type=MERGE)

    def wait(self, name: str, until: Callable[[dict[str, Any], Standing], bool], what: str) -> dict[str, Any]:
        """Until the object meets it; {} for one that is gone."""
        deadline, pause = time.monotonic() + LIMIT_S, Event()
        while True:
            body = self.objects.get(name) or {}
            standing = standing_of(body) if body else None
            if (standing is None and what == "gone") or (standing is not None and until(body, standing)):
                return body
            seen = f"{standing} {json.dumps(body.get('status'))}\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{name} is not {what}: {seen}"
            assert self.process.poll() is None, f"the operator ended: {self.log.read_text()[-3000:]}"
            pause.wait(0.3)

    def ready(self, name: str) -> dict[str, Any]:
        return self.wait(name, lambda _, standing: standing.reached, "reached")

    def stalled(self, name: str) -> str:
        body = self.wait(name, lambda _, standing: standing.trouble is not None, "stalled")
        return next(str(one["message"]) for one in body["status"]["conditions"] if one["type"] == "Stalled")

    def delete_now(self, name: str) -> None:
        self.patch(name, {"metadata": {"annotations": {"tenantry.dev/delete": "now"}}})
        self.wait(name, lambda _body, _standing: False, "gone")


@pytest.fixture(scope="package")
def operated(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    root = tmp_path_factory.mktemp("operated")
    layout = Layout.of(platform.name, platform.home)
    site = Site(
        layout=layout,
        ports=read_json(layout.record)["ports"],
        authority=Authority(layout.authorities, "local"),
        tools={},
    )
    groups = ("system:serviceaccounts", "system:serviceaccounts:tenantry-system")
    own = kubeconfig(
        site,
        Authorities.of(layout.authorities),
        root / "operator.json",
        Leaf(common_name=ACCOUNT, organizations=groups),
    )
    cell_file = root / "cell.yaml"
    cell_file.write_text(platform.cell_file.read_text().replace("operator: false", "operator: true"))
    variables = platform.environment()
    with pytest.MonkeyPatch.context() as patch, EmbeddedEngine() as engine:
        for name, value in variables.items():
            patch.setenv(name, value)
        Fleet(cell=load_cell(cell_file), engine=engine, catalogue=Catalogue.load(), root=root).prepare_cell()
    admin = cluster_of(Path(variables["KUBECONFIG"]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = root / "operator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tenantry", "operator", "run", f"--cell={cell_file}", f"--port={port}"],
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith(("VAULT_", "BAO_"))},
                "KUBECONFIG": str(own),
                "TENANTRY_HOME": str(root),
                "VAULT_ADDR": variables["VAULT_ADDR"],
                "VAULT_CACERT": variables["VAULT_CACERT"],
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(port, process, log)
        yield Operated(
            root=root,
            admin=admin,
            operator=cluster_of(own),
            objects=TenantObjects(admin),
            audit_log=layout.part("kube-apiserver") / "audit" / "audit.log",
            log=log,
            process=process,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(90)
        finally:
            process.kill()
    # What is left of tenants here would keep their objects from ever going.
    for body in TenantObjects(admin).all():
        path = path_of(body["metadata"]["name"])
        admin.request("PATCH", path, body={"metadata": {"finalizers": []}}, content_type=MERGE)
        if not body["metadata"].get("deletionTimestamp"):
            admin.request("DELETE", path)


def _await_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline, pause = time.monotonic() + LIMIT_S, Event()
    with urllib3.PoolManager(retries=False, timeout=3.0) as web:
        while True:
            try:
                if web.request("GET", f"http://127.0.0.1:{port}/readyz").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            pause.wait(0.2)
