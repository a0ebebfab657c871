"""The real node itself: what pods reach, what is open, and that nothing of it stays behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from tenantry.local.images import AGENT, SHELL
from tenantry.local.layout import Layout, read_json
from tenantry.local.node import NodePlace
from tenantry.local.part import web
from tenantry.local.volumes import SHARED_STORAGE_CLASS, STORAGE_CLASS, LocalPath
from tests.e2e.user import User
from tests.realpods.conftest import Kubectl, settings_now

POD = f"""\
apiVersion: v1
kind: Pod
metadata: {{name: probe, namespace: default, labels: {{probe: named}}}}
spec:
  nodeSelector: {{tenantry.dev/nodes: real}}
  tolerations: [{{key: tenantry.dev/nodes, operator: Equal, value: real}}]
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 5
  securityContext: {{runAsNonRoot: true, runAsUser: 1001, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: probe
      image: {AGENT}
      command: [/bin/sh, -c, 'trap "exit 0" TERM; while :; do sleep 1; done']
      securityContext:
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {{drop: [ALL]}}
"""


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: probe, namespace: default}
spec: {clusterIP: None, selector: {probe: named}, ports: [{name: any, port: 80}]}
"""
CLAIM = f"""\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: kept, namespace: default}}
spec: {{storageClassName: %s, accessModes: [%s], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: writer, namespace: default}}
spec:
  nodeSelector: {{tenantry.dev/nodes: real}}
  tolerations: [{{key: tenantry.dev/nodes, operator: Equal, value: real}}]
  restartPolicy: Never
  securityContext: {{runAsUser: 1001, runAsGroup: 1001, fsGroup: 1001}}
  containers:
    - name: writer
      image: {SHELL}
      command: [/bin/sh, -c, echo kept >/kept/mine]
      volumeMounts: [{{name: kept, mountPath: /kept}}]
  volumes: [{{name: kept, persistentVolumeClaim: {{claimName: kept}}}}]
"""


@pytest.fixture(scope="module")
def place(layout: Layout) -> NodePlace:
    return NodePlace.of(layout, read_json(layout.record)["subnet"])


@pytest.fixture(scope="module")
def pod(kubectl: Kubectl) -> Iterator[str]:
    """A pod of nobody's on the real node."""
    kubectl("apply", "-f", "-", text=POD)
    kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=120s")
    yield "probe"
    kubectl("delete", "pod", "probe", "--ignore-not-found")


def _parts(user: User) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in user.json("local", "status", code=None)["parts"]}


def _traces(layout: Layout, place: NodePlace) -> list[str]:
    """Everything on the machine that is the real node's."""
    found = [f"control group {path}" for path in Path("/sys/fs/cgroup").glob(f"**/{place.control_group}")]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if str(layout.parts) in line]
    found += [f"interface {name}" for name in psutil.net_if_addrs() if name == place.bridge]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() in {"containerd", "kubelet"} or process.name().startswith("containerd-shim"):
                text = " ".join(process.cmdline())
                found += [f"process {text}"] if str(layout.parts) in text else []
    return found


def test_every_part_runs_and_simulated_nodes_stand_beside_the_real_one(user: User, kubectl: Kubectl) -> None:
    parts = _parts(user)
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(parts, "running")
    assert {"containerd", "kubelet"} <= set(parts)
    nodes = kubectl("get", "nodes", "--no-headers").splitlines()
    assert {line.split()[0] for line in nodes if " Ready " in line} == {"local-a", "local-b", "local-c", "local-real"}


def test_the_cells_own_pods_stay_on_simulated_nodes(kubectl: Kubectl) -> None:
    shown = kubectl("get", "pods", "-n=tenantry-egress", "-o=custom-columns=N:.spec.nodeName", "--no-headers")
    assert set(shown.split()) < {"local-a", "local-b", "local-c"}
    assert shown.split()


def test_nothing_listens_beyond_loopback_and_the_bridge(user: User, place: NodePlace) -> None:
    processes = [psutil.Process(part["pid"]) for part in _parts(user).values()]
    processes += [child for one in processes for child in one.children(recursive=True)]
    # The host's own processes: those in pods listen in networks of their own.
    ours = Path("/proc/self/ns/net").readlink()
    addresses: set[str] = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            if Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
                found = process.net_connections(kind="inet")
                addresses |= {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
    assert place.gateway in addresses
    assert addresses <= {"127.0.0.1", "::1", place.gateway}


def test_a_pod_reaches_the_shared_services_and_nothing_else(kubectl: Kubectl, layout: Layout, pod: str) -> None:
    ports = read_json(layout.record)["ports"]
    gateway = NodePlace.of(layout, read_json(layout.record)["subnet"]).gateway
    tries = "".join(
        f"nc -w 2 {gateway} {port} </dev/null >/dev/null 2>&1 && echo {name} || :; " for name, port in ports.items()
    )
    reached = kubectl("exec", pod, "--", "/bin/sh", "-c", tries).split()
    assert set(reached) == {"openbao", "mariadb", "redis", "rabbitmq"}
    routes = kubectl("exec", pod, "--", "cat", "/proc/net/route").splitlines()[1:]
    assert [line.split()[1] for line in routes if line.split()[7] == "00000000"] == []


def test_a_pod_knows_the_names_of_services_and_of_nothing_outside(
    user: User, kubectl: Kubectl, pod: str, place: NodePlace
) -> None:
    kubectl("apply", "-f", "-", text=SERVICE)
    _await_name(kubectl, pod)
    assert f"nameserver {place.gateway}\n" in kubectl("exec", pod, "--", "cat", "/etc/resolv.conf")
    outside = kubectl("exec", pod, "--", "/bin/sh", "-c", "nslookup example.com 2>&1 || echo refused")
    assert "refused" in outside
    for part in ("openbao", "operator"):
        # Processes of the machine, in whose place the resolver's file is another.
        process = Path("/proc") / str(_parts(user)[part]["pid"])
        assert f"nameserver {place.gateway}\n" in (process / "root" / "etc" / "resolv.conf").read_text()
    assert f"nameserver {place.gateway}\n" not in Path("/etc/resolv.conf").read_text()
    kubectl("delete", "service", "probe", "--ignore-not-found")


@retry(stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True)
def _await_name(kubectl: Kubectl, pod: str) -> None:
    address = kubectl("get", "pod", pod, "-o=jsonpath={.status.podIP}")
    found = kubectl("exec", pod, "--", "/bin/sh", "-c", "nslookup probe.default.svc.cluster.local || :")
    assert address in found


@retry(stop=stop_after_delay(60), wait=wait_fixed(1), reraise=True)
def _await_gone(folder: Path) -> None:
    assert not folder.exists()


@pytest.mark.parametrize(
    ("storage_class", "mode", "place", "owner"),
    [
        (STORAGE_CLASS, "ReadWriteOnce", "data", (0, 1001)),
        (SHARED_STORAGE_CLASS, "ReadWriteMany", "shared", (7, 0)),
    ],
)
def test_a_claim_is_a_folder_and_goes_with_it(
    kubectl: Kubectl, layout: Layout, storage_class: str, mode: str, place: str, owner: tuple[int, int]
) -> None:
    """owner: what others may, and the group."""
    kubectl("apply", "-f", "-", text=CLAIM % (storage_class, mode))
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=120s")
    (folder,) = (layout.part(LocalPath.name) / place).glob("*_default_kept")
    assert (folder / "mine").read_text() == "kept\n"
    assert (folder.stat().st_mode & 0o7, folder.stat().st_gid) == owner
    assert folder.parent.stat().st_mode & 0o77 == 0
    kubectl("delete", "pod/writer", "persistentvolumeclaim/kept")
    _await_gone(folder)


def test_the_kubelet_answers_nobody_without_a_certificate(layout: Layout, place: NodePlace) -> None:
    port = read_json(layout.record)["ports"]["kubelet"]
    with web(authority_file=layout.ca_file) as client:
        assert client.request("GET", f"https://{place.gateway}:{port}/pods").status == 401


def test_a_real_node_leaves_the_machines_settings_alone(pod: str, kernel_settings: dict[str, str]) -> None:
    assert settings_now() == kernel_settings


def test_a_killed_supervisor_takes_the_node_with_it_and_down_leaves_no_trace(
    user: User, kubectl: Kubectl, layout: Layout, place: NodePlace, pod: str
) -> None:
    assert _traces(layout, place)
    os.kill(int((layout.supervisor / "pid").read_text()), signal.SIGKILL)
    user.types("tenantry", "local", "down")
    assert _traces(layout, place) == []
    assert set(_states(user)) == {"stopped"}
    user.types("tenantry", "local", "up")
    _await_again(kubectl, pod)


def _states(user: User) -> list[str]:
    return [part["state"] for part in _parts(user).values()]


@retry(stop=stop_after_delay(120), wait=wait_fixed(1), reraise=True)
def _await_again(kubectl: Kubectl, pod: str) -> None:
    """The pod runs again, in a container that is not the old one."""
    (container,) = json.loads(kubectl("get", "pod", pod, "-o=json"))["status"]["containerStatuses"]
    assert (container["ready"], container["restartCount"]) == (True, 1)
