"""A tenant of the reference workload on real pods: a look from inside, and what becomes of its messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from tenacity import retry, stop_after_delay, wait_fixed

from tenantry.local.layout import Layout
from tests.e2e.user import User
from tests.realpods.conftest import Kubectl, ask, pods

NAME = "counted"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tenant") / f"{NAME}.yaml"
    _write(path, "1.0")
    return path


def _write(path: Path, release: str) -> None:
    path.write_text(
        "apiVersion: tenantry.dev/v1alpha1\n"
        "kind: Tenant\n"
        f"metadata: {{name: {NAME}}}\n"
        "spec: {displayName: Counted, owner: someone@example.com, plan: growth, environment: test,"
        f" workload: reference, release: '{release}', backup: {{enabled: false}}}}\n"
    )


@pytest.fixture(scope="module")
def namespace(user: User, file: Path) -> Iterator[str]:
    """The namespace of a tenant on plan growth: shared MariaDB and RabbitMQ, a Redis of its own."""
    (one,) = user.json("tenant", "up", str(file))["tenants"]
    assert "error" not in one
    yield str(one["namespace"])
    user.types("tenantry", "tenant", "destroy", NAME, "--yes")


@retry(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True)
def _await_all_sent(kubectl: Kubectl, namespace: str, queued: int) -> None:
    counts = ask(kubectl, namespace, "/counts")
    # The campaign's own schedule may add to what the test has queued.
    assert counts["queued"] >= queued
    assert counts["sent"] == counts["queued"]
    assert (counts["waiting"], counts["duplicates"]) == (0, 0)


@pytest.fixture(scope="module")
def inside(kubectl: Kubectl, namespace: str, layout: Layout) -> dict[str, Any]:
    """A look from inside: one host a container."""
    hosts = {}
    for component, containers in (("web", ("web", "agent")), ("worker", ("worker",))):
        pod = pods(kubectl, namespace, component)[0]["metadata"]["name"]
        for container in containers:
            hosts[container] = testinfra.get_host(
                f"kubectl://{pod}?container={container}&namespace={namespace}&kubeconfig={layout.client / 'kubeconfig'}"
            )
    return hosts


@pytest.fixture(scope="module")
def secrets(user: User, namespace: str) -> list[str]:
    """The tenant's passwords, as an administrator reads them."""
    found = user.shell(
        f"bao read -field=password database/static-creds/{namespace}-a; echo; "
        f"bao kv get -mount=kv -field=password tenants/{namespace}/messaging"
    ).stdout.split()
    assert len(found) == 2
    assert all(len(secret) > 10 for secret in found)
    return found


def test_a_ready_tenant_is_not_simulated(user: User, kubectl: Kubectl, namespace: str) -> None:
    conditions = {one["type"]: one["status"] for one in user.json("tenant", "show", NAME)["conditions"]}
    assert conditions["Ready"] == "True"
    assert conditions["WorkloadSimulated"] == "False"
    for component in ("web", "worker", "cache"):
        assert {pod["spec"]["nodeName"] for pod in pods(kubectl, namespace, component)} == {"local-real"}


@pytest.mark.parametrize("container", ["web", "worker", "agent"])
def test_a_process_is_nobody_special_on_a_root_that_it_cannot_write_to(inside: dict[str, Any], container: str) -> None:
    host = inside[container]
    assert host.check_output("id -u") == "1001"
    assert host.run("touch /bin/mine").rc != 0
    assert "CapEff:\t0000000000000000" in host.file("/proc/1/status").content_string
    assert "NoNewPrivs:\t1" in host.file("/proc/1/status").content_string


@pytest.mark.parametrize("container", ["web", "worker"])
def test_the_workload_has_its_configuration_and_no_token(inside: dict[str, Any], container: str) -> None:
    host = inside[container]
    assert not host.file("/var/run/secrets").exists
    assert host.file("/etc/reference/configuration.json").mode == 0o440
    assert json.loads(host.file("/etc/reference/configuration.json").content_string)["broker"]["login"]["username"]
    assert "/run/tenantry/configuration tmpfs" in host.check_output("cut -d ' ' -f 2,3 /proc/mounts")


def test_the_agents_token_is_for_openbao_alone(inside: dict[str, Any]) -> None:
    """Only the agent has one, and the API server takes it for nobody's."""
    body = inside["agent"].file("/var/run/secrets/tenantry/token").content_string.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(body + "=="))["aud"] == ["openbao"]


def test_no_secret_stands_in_a_pod_a_process_or_a_log(
    kubectl: Kubectl, namespace: str, inside: dict[str, Any], secrets: list[str]
) -> None:
    seen = kubectl("get", "all,configmaps,secrets", f"-n={namespace}", "-o=json")
    for component in ("web", "worker", "migrate", "cache"):
        chosen = f"-l=app.kubernetes.io/component={component}"
        seen += kubectl("logs", f"-n={namespace}", chosen, "--all-containers", "--tail=-1")
    for host in inside.values():
        found = host.check_output("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        assert "/bin/" in found
        seen += found
    assert "reference" in seen
    assert not [secret for secret in secrets if secret in seen]


def test_every_message_is_sent_once_also_when_its_worker_is_ended(kubectl: Kubectl, namespace: str) -> None:
    ask(kubectl, namespace, "/messages?count=120", "POST")
    kubectl("delete", "pod", f"-n={namespace}", "-l=app.kubernetes.io/component=worker", "--wait=false")
    ask(kubectl, namespace, "/messages?count=30", "POST")
    _await_all_sent(kubectl, namespace, 150)


def test_a_schedule_queues_messages_too(kubectl: Kubectl, namespace: str) -> None:
    before = ask(kubectl, namespace, "/counts")["queued"]
    kubectl("create", "job", f"-n={namespace}", "--from=cronjob/scheduler-campaign", "by-hand")
    kubectl("wait", f"-n={namespace}", "--for=condition=complete", "job/by-hand", "--timeout=120s")
    _await_all_sent(kubectl, namespace, before + 10)


def test_a_new_release_migrates_and_rolls(user: User, kubectl: Kubectl, namespace: str, file: Path) -> None:
    assert ask(kubectl, namespace, "/smoke") == {"release": "1.0", "schema": 1}
    _write(file, "1.1")
    (one,) = user.json("tenant", "up", str(file))["tenants"]
    assert "error" not in one
    _await_release(kubectl, namespace)
    _await_all_sent(kubectl, namespace, 150)


@retry(stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True)
def _await_release(kubectl: Kubectl, namespace: str) -> None:
    assert ask(kubectl, namespace, "/smoke") == {"release": "1.1", "schema": 2}
