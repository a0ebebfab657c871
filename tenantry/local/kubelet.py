"""The kubelet of a real node: it takes pods that ask for the node, and has containerd run them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import urllib3
import urllib3.exceptions

from tenantry.local.cluster import Authorities, kubeconfig
from tenantry.local.containers import Containerd
from tenantry.local.names import DOMAIN
from tenantry.local.node import NODE_LABEL, NodePlace
from tenantry.local.part import Health, Part, Program, Site, State, web
from tenantry.local.pki import Leaf
from tenantry.local.ports import LOOPBACK

__all__ = ["Kubelet"]


class Kubelet(Part):
    """One kubelet. Who may ask it for what is decided by the API server; pods cannot reach it."""

    name = "kubelet"
    start_seconds = 120.0

    def __init__(self, site: Site, authorities: Authorities, place: NodePlace, containerd: Containerd) -> None:
        super().__init__(site)
        self._authorities = authorities
        self._place = place
        self._containerd = containerd

    @property
    def address(self) -> str:
        return f"{self._place.gateway}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.site.ports["kubelet-health"])

    def program(self) -> Program:
        folder = self.folder
        labels = ",".join(
            ("=".join(NODE_LABEL), "topology.kubernetes.io/region=local", "topology.kubernetes.io/zone=real")
        )
        return Program(
            command=(
                *(str(self.site.tools["setpriv"]), "--pdeathsig=KILL"),
                *("/bin/sh", str(folder / "node_enter.sh"), str(self._containerd.folder), "-"),
                str(self.site.tools["kubelet"]),
                f"--config={folder / 'config.json'}",
                f"--kubeconfig={folder / 'client.json'}",
                f"--root-dir={folder / 'data'}",
                f"--hostname-override={self._place.name}",
                f"--node-ip={self._place.gateway}",
                f"--node-labels={labels}",
            ),
            environment={"HOME": str(folder), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            stop_seconds=20,
        )

    def prepare(self) -> None:
        folder = self.make_folder("data", "logs", "plugins")
        server = Leaf(common_name=self._place.name, server=True, addresses=(self._place.gateway,))
        self.site.authority.issue(folder, "server", server)
        node = Leaf(common_name=f"system:node:{self._place.name}", organizations=("system:nodes",))
        kubeconfig(self.site, self._authorities, folder / "client.json", node)
        self.write("node_enter.sh", resources.files("tenantry.local").joinpath("node_enter.sh").read_text())
        # Pods get the cluster's name server alone. Those that ask for the machine's get this: a file with nothing in it
        # would have containerd give them the machine's own.
        self.write("resolv.conf", "options attempts:1 timeout:1\n")
        self.write("config.json", json.dumps(self._configuration(), indent=2))

    def _configuration(self) -> dict[str, Any]:
        folder = self.folder
        key, value = NODE_LABEL
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self._place.gateway,
            "port": self.port,
            "readOnlyPort": 0,
            "healthzBindAddress": LOOPBACK,
            "healthzPort": self.site.ports["kubelet-health"],
            "tlsCertFile": str(folder / "server.pem"),
            "tlsPrivateKeyFile": str(folder / "server.key"),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._authorities.kubernetes.certificate_file)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self._containerd.socket}",
            "podLogsDir": str(folder / "logs"),
            "volumePluginDir": str(folder / "plugins"),
            "resolvConf": str(folder / "resolv.conf"),
            "clusterDNS": [self._place.gateway],
            "clusterDomain": DOMAIN,
            "registerWithTaints": [{"key": key, "value": value, "effect": "NoSchedule"}],
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._place.control_group}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "5s",
            # Images come from this machine alone: one that is removed cannot be pulled again.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "enableDebuggingHandlers": True,
            "enableProfilingHandler": False,
            "enableDebugFlagsHandler": False,
        }

    def answers(self) -> bool:
        try:
            with urllib3.PoolManager(timeout=3, retries=False) as client:
                return (
                    client.request("GET", f"http://{LOOPBACK}:{self.site.ports['kubelet-health']}/healthz").status
                    == 200
                )
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    def probe(self) -> Health:
        if not self.answers():
            return Health(state=State.UNHEALTHY, message="no answer from /healthz", hint=f"read {self.log}")
        return self._node_health()

    def _node_health(self) -> Health:
        """What the API server knows of the node: a kubelet can be well and its node not be ready for pods."""
        client = self.site.layout.client
        certificate = (client / "kubeconfig.pem", client / "kubeconfig.key")
        url = f"https://{LOOPBACK}:{self.site.ports['kube-apiserver']}/api/v1/nodes/{self._place.name}"
        try:
            with web(authority_file=self.site.layout.ca_file, certificate=certificate) as http:
                answer = http.request("GET", url)
            node = json.loads(answer.data) if answer.status == 200 else {}
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            node = {}
        conditions = {one["type"]: one for one in node.get("status", {}).get("conditions", ())}
        ready = conditions.get("Ready")
        if ready is None:
            return Health(
                state=State.UNHEALTHY, message="the API server does not know its node yet", hint=f"read {self.log}"
            )
        if ready["status"] != "True":
            return Health(
                state=State.UNHEALTHY, message=f"its node is not ready: {ready['message']}", hint=f"read {self.log}"
            )
        return Health(state=State.RUNNING)
