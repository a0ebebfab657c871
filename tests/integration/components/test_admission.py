"""Every object of every example, and every pod it leads to, before a real API server with the cell's own policies.

Objects are sent as a dry run: schema, Pod Security, quota and admission policies judge them, and nothing is made.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stacks.cell_stack import cluster_manifests
from tenantry.engine.evaluating import evaluate
from tenantry.engine.interface import Program, Stack
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.resolving import resolve

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "tenant_templates" / "examples").glob("*.yaml"))
CELL = ROOT / "tenant_templates" / "cells" / "example.yaml"
Manifest = dict[str, Any]


def kubectl(
    environment: Mapping[str, str], *arguments: str, objects: list[Manifest] | None = None
) -> subprocess.CompletedProcess[str]:
    text = None if objects is None else json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return subprocess.run(
        ["kubectl", *arguments],
        env={**os.environ, **environment},
        input=text,
        text=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def environment(platform: LocalPlatform) -> Iterator[dict[str, str]]:
    """The platform with the admission policies in force."""
    found = platform.environment()
    policies = [
        manifest
        for manifest in cluster_manifests(load_cell(CELL))
        if manifest["kind"].startswith("ValidatingAdmission")
    ]
    applied = kubectl(found, "apply", "--server-side", "-f", "-", objects=policies)
    assert applied.returncode == 0, applied.stderr
    yield found
    kubectl(found, "delete", "--wait=false", "-f", "-", objects=policies)


def manifests_of(path: Path, backend: Path) -> list[Manifest]:
    spec = resolve(
        load_tenant(path),
        catalogue=Catalogue.load(),
        cell=load_cell(CELL),
        incarnation=incarnation_of(path.name),
        today=date(2026, 11, 24),
    )
    desired = evaluate(
        Stack(project="tenantry", name=spec.name, backend=backend, secrets_provider="hashivault://state"),
        Program(entry="stacks.tenant_stack:tenant_stack", arguments={"spec": spec}),
        known_ids={},
        emit=lambda _message: None,
    )
    return [deepcopy(dict(one.inputs)) for one in desired.resources if one.is_kubernetes]


def pods_of(manifests: list[Manifest]) -> Iterator[Manifest]:
    """A bare pod for each template: what a controller would ask for."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec
        if "template" in spec:
            template = deepcopy(spec["template"])
            name = f"{manifest['kind'].lower()}-{manifest['metadata']['name']}"[:63]
            metadata = {**template["metadata"], "name": name, "namespace": manifest["metadata"]["namespace"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_admitted_whole(path: Path, environment: dict[str, str], tmp_path: Path) -> None:
    manifests = manifests_of(path, tmp_path)
    namespace = next(one for one in manifests if one["kind"] == "Namespace")
    fence = [one for one in manifests if one["kind"] in {"Namespace", "ServiceAccount", "LimitRange", "ResourceQuota"}]
    rest = [one for one in manifests if "." not in one["apiVersion"].split("/")[0] or "k8s.io" in one["apiVersion"]]
    rest = [one for one in rest if one not in fence]
    name = namespace["metadata"]["name"]
    try:
        made = kubectl(environment, "apply", "--server-side", "-f", "-", objects=fence)
        assert made.returncode == 0, made.stderr
        judged = kubectl(environment, "apply", "--server-side", "--dry-run=server", "-f", "-", objects=rest)
        assert judged.returncode == 0, judged.stderr
        assert "Warning" not in judged.stderr
        pods = list(pods_of(manifests))
        admitted = kubectl(environment, "apply", "--server-side", "--dry-run=server", "-f", "-", objects=pods)
        assert admitted.returncode == 0, admitted.stderr
        assert len(admitted.stdout.splitlines()) == len(pods)
        refused = [refusal(environment, pod) for pod in broken(pods[0])]
        assert all(refused), refused
    finally:
        kubectl(environment, "delete", "namespace", name, "--wait=false")


def refusal(environment: dict[str, str], pod: Manifest) -> str:
    """Why the API server refuses the pod; "" when it admits it."""
    answer = kubectl(environment, "apply", "--server-side", "--dry-run=server", "-f", "-", objects=[pod])
    return answer.stderr if answer.returncode else ""


def broken(pod: Manifest) -> Iterator[Manifest]:
    """The pod with one thing wrong at a time."""
    for change in (
        {"automountServiceAccountToken": True},
        {"serviceAccountName": "default"},
        {"shareProcessNamespace": True},
        {"hostNetwork": True},
    ):
        yield {**pod, "spec": {**pod["spec"], **change}}
    thief = deepcopy(pod)
    thief["spec"]["containers"][0]["volumeMounts"].append({"name": "openbao-token", "mountPath": "/stolen"})
    yield thief
    for change in (
        {"image": "example.org/impostor:1"},
        {"image": "openbao/openbao-impostor:1"},
        {"command": ["/bin/sh", "-c", "cat /var/run/secrets/tenantry/token"]},
        {"args": ["-log-level=trace"]},
    ):
        impostor = deepcopy(pod)
        (agent,) = [one for one in impostor["spec"]["initContainers"] if one["name"] == "agent"]
        agent.update(change)
        yield impostor


def test_a_tenants_namespace_cannot_be_loosened(environment: dict[str, str]) -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "t-loose-aaaaaaaa",
            "labels": {"tenantry.dev/tenant": "loose", "pod-security.kubernetes.io/enforce": "privileged"},
        },
    }
    answer = kubectl(environment, "apply", "--server-side", "--dry-run=server", "-f", "-", objects=[namespace])
    assert answer.returncode != 0
    assert "restricted" in answer.stderr
