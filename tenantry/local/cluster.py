"""The Kubernetes control plane: etcd, API server, controller manager, scheduler, as plain processes on loopback."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3.exceptions

from tenantry.local.layout import write_file, write_json
from tenantry.local.part import Health, Part, Program, Site, State, web
from tenantry.local.pki import Authority, Leaf, signing_key
from tenantry.local.ports import LOOPBACK

__all__ = [
    "KUBELET_CLIENT",
    "ApiServer",
    "Authorities",
    "ControllerManager",
    "Etcd",
    "Scheduler",
    "WebPart",
    "kubeconfig",
]

KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""The API server's name where it is a kubelet's client."""
_SERVICE_RANGE = "10.96.0.0/16"
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Who may be a client of what."""

    kubernetes: Authority
    etcd: Authority
    front_proxy: Authority
    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Authorities:
        return cls(
            kubernetes=Authority(folder, "kubernetes"),
            etcd=Authority(folder, "etcd"),
            front_proxy=Authority(folder, "front-proxy"),
            folder=folder,
        )


def kubeconfig(site: Site, authorities: Authorities, target: Path, leaf: Leaf) -> Path:
    """Write a kubeconfig (mode 0600) with a client certificate of its own, its files beside it."""
    certificate, key = authorities.kubernetes.issue(target.parent, target.stem, leaf)

    def data(content: bytes) -> str:
        return base64.b64encode(content).decode()

    name = f"tenantry-{site.layout.name}"
    write_json(
        target,
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": f"https://{LOOPBACK}:{site.ports['kube-apiserver']}",
                        "certificate-authority-data": data(site.authority.pem.encode()),
                    },
                }
            ],
            "users": [
                {
                    "name": leaf.common_name,
                    "user": {
                        "client-certificate-data": data(certificate.read_bytes()),
                        "client-key-data": data(key.read_bytes()),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": leaf.common_name}}],
        },
    )
    return target


class WebPart(Part):
    """A part that answers a health check over HTTPS, or over plain HTTP on loopback alone."""

    health_scheme = "https"
    health_path = "/healthz"

    def __init__(self, site: Site, authorities: Authorities) -> None:
        super().__init__(site)
        self.authorities = authorities

    @property
    def health_port(self) -> int:
        return self.port

    def client_certificate(self) -> tuple[Path, Path] | None:
        """Who asks for the health; None: anybody may."""
        return None

    def server_certificate(self, *dns_names: str) -> tuple[Path, Path]:
        leaf = Leaf(common_name=self.name, server=True, dns_names=dns_names)
        return self.site.authority.issue(self.folder, "server", leaf)

    def probe(self) -> Health:
        certificate = self.client_certificate()
        if certificate is not None and not all(path.exists() for path in certificate):
            return Health(state=State.STOPPED, message="not made yet", hint="run `tenantry local up`")
        url = f"{self.health_scheme}://{LOOPBACK}:{self.health_port}{self.health_path}"
        try:
            with web(authority_file=self.site.layout.ca_file, certificate=certificate) as client:
                status = client.request("GET", url).status
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Health(state=State.UNHEALTHY, message=f"no answer ({type(error).__name__})", hint=f"read {self.log}")
        if status == 200:
            return Health(state=State.RUNNING)
        return Health(state=State.UNHEALTHY, message=f"{self.health_path} answers {status}", hint=f"read {self.log}")


class Etcd(WebPart):
    """The store of Kubernetes' objects; only holders of a certificate of the etcd authority are let in."""

    name = "etcd"
    health_path = "/health"

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.site.ports["etcd-peer"])

    def client_certificate(self) -> tuple[Path, Path]:
        return self.folder / "health.pem", self.folder / "health.key"

    def program(self) -> Program:
        peer, client = f"https://{LOOPBACK}:{self.site.ports['etcd-peer']}", f"https://{self.address}"
        clients = self.authorities.etcd.certificate_file
        certificate, key = self.folder / "server.pem", self.folder / "server.key"
        return Program(
            command=(
                str(self.site.tools["etcd"]),
                "--name=local",
                f"--data-dir={self.folder / 'data'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=local={peer}",
                f"--cert-file={certificate}",
                f"--key-file={key}",
                "--client-cert-auth=true",
                f"--trusted-ca-file={clients}",
                f"--peer-cert-file={certificate}",
                f"--peer-key-file={key}",
                "--peer-client-cert-auth=true",
                f"--peer-trusted-ca-file={clients}",
                "--auto-compaction-retention=1h",
                "--quota-backend-bytes=2147483648",
                "--snapshot-count=10000",
                "--log-level=warn",
            )
        )

    def prepare(self) -> None:
        folder = self.make_folder("data")
        self.server_certificate()
        self.authorities.etcd.issue(folder, "health", Leaf(common_name="health"))


class ApiServer(WebPart):
    """The API server: RBAC and Node authorization, secrets encrypted at rest, metadata of every request audited."""

    name = "kube-apiserver"
    health_path = "/readyz"

    def client_certificate(self) -> tuple[Path, Path] | None:
        return self.folder / "health.pem", self.folder / "health.key"

    def program(self) -> Program:
        folder, certificates = self.folder, self.authorities
        etcd = f"https://{LOOPBACK}:{self.site.ports['etcd']}"
        return Program(
            command=(
                str(self.site.tools["kube-apiserver"]),
                f"--bind-address={LOOPBACK}",
                f"--advertise-address={LOOPBACK}",
                f"--secure-port={self.port}",
                # A loopback address may not stand in the Endpoints of the service `kubernetes`.
                "--endpoint-reconciler-type=none",
                f"--tls-cert-file={folder / 'server.pem'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--client-ca-file={certificates.kubernetes.certificate_file}",
                "--anonymous-auth=false",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--etcd-servers={etcd}",
                f"--etcd-cafile={self.site.layout.ca_file}",
                f"--etcd-certfile={folder / 'etcd-client.pem'}",
                f"--etcd-keyfile={folder / 'etcd-client.key'}",
                f"--encryption-provider-config={folder / 'encryption.json'}",
                f"--service-account-issuer={_ISSUER}",
                f"--service-account-key-file={certificates.folder / 'service-account.pub'}",
                f"--service-account-signing-key-file={certificates.folder / 'service-account.key'}",
                f"--service-cluster-ip-range={_SERVICE_RANGE}",
                f"--requestheader-client-ca-file={certificates.front_proxy.certificate_file}",
                "--requestheader-allowed-names=front-proxy-client",
                # As whom it asks a real node's kubelet, for logs and commands in pods.
                f"--kubelet-client-certificate={folder / 'kubelet-client.pem'}",
                f"--kubelet-client-key={folder / 'kubelet-client.key'}",
                f"--kubelet-certificate-authority={self.site.layout.ca_file}",
                "--kubelet-preferred-address-types=InternalIP",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={folder / 'front-proxy.pem'}",
                f"--proxy-client-key-file={folder / 'front-proxy.key'}",
                f"--audit-policy-file={folder / 'audit-policy.json'}",
                f"--audit-log-path={folder / 'audit' / 'audit.log'}",
                "--audit-log-maxsize=50",
                "--audit-log-maxbackup=2",
                "--profiling=false",
            ),
            environment={"HOME": str(folder)},
            stop_seconds=30,
        )

    def prepare(self) -> None:
        folder = self.make_folder("audit")
        self.server_certificate("kubernetes", "kubernetes.default", "kubernetes.default.svc")
        self.authorities.etcd.issue(folder, "etcd-client", Leaf(common_name="kube-apiserver"))
        self.authorities.front_proxy.issue(folder, "front-proxy", Leaf(common_name="front-proxy-client"))
        self.authorities.kubernetes.issue(folder, "health", Leaf(common_name="tenantry-health"))
        self.authorities.kubernetes.issue(folder, "kubelet-client", Leaf(common_name=KUBELET_CLIENT))
        signing_key(self.authorities.folder, "service-account")
        encryption = folder / "encryption.json"
        if not encryption.exists():
            write_json(encryption, _encryption(secrets.token_bytes(32)))
        write_json(folder / "audit-policy.json", _AUDIT_POLICY)

    def ready(self) -> None:
        super().ready()
        kubeconfig(
            self.site,
            self.authorities,
            self.site.layout.client / "kubeconfig",
            Leaf(common_name="tenantry-admin", organizations=("system:masters",)),
        )


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The control plane's own leases and events say nothing about who did what.
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "resources": [{"group": one, "resources": ["events"]} for one in ("", "events.k8s.io")]},
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*", "/version"]},
        {"level": "None", "verbs": ["get", "list", "watch"], "userGroups": ["system:nodes"]},
        {"level": "Metadata"},
    ],
}


def _encryption(key: bytes) -> dict[str, Any]:
    provider = {"secretbox": {"keys": [{"name": "1", "secret": base64.b64encode(key).decode()}]}}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [provider, {"identity": {}}]}],
    }


class ControllerManager(WebPart):
    """The controllers of Kubernetes itself."""

    name = "kube-controller-manager"

    def program(self) -> Program:
        folder, client = self.folder, self.folder / "client.json"
        return Program(
            command=(
                str(self.site.tools["kube-controller-manager"]),
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self.port}",
                f"--tls-cert-file={folder / 'server.pem'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--kubeconfig={client}",
                f"--authentication-kubeconfig={client}",
                f"--authorization-kubeconfig={client}",
                f"--client-ca-file={self.authorities.kubernetes.certificate_file}",
                f"--root-ca-file={self.site.layout.ca_file}",
                f"--service-account-private-key-file={self.authorities.folder / 'service-account.key'}",
                f"--cluster-signing-cert-file={self.authorities.kubernetes.certificate_file}",
                f"--cluster-signing-key-file={self.authorities.kubernetes.key_file}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--terminated-pod-gc-threshold=1000",
                # Nodes and control plane sleep and wake together here: a node that renews late is busy, not dead.
                "--node-monitor-grace-period=10m",
                # Hundreds of tenants come and go at once here.
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                "--profiling=false",
            ),
            environment={"HOME": str(folder)},
        )

    def prepare(self) -> None:
        folder = self.make_folder()
        self.server_certificate()
        kubeconfig(
            self.site,
            self.authorities,
            folder / "client.json",
            Leaf(common_name="system:kube-controller-manager"),
        )


class Scheduler(WebPart):
    """The scheduler of Kubernetes."""

    name = "kube-scheduler"

    def program(self) -> Program:
        folder, client = self.folder, self.folder / "client.json"
        return Program(
            command=(
                str(self.site.tools["kube-scheduler"]),
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self.port}",
                f"--tls-cert-file={folder / 'server.pem'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--config={folder / 'scheduler.json'}",
                f"--authentication-kubeconfig={client}",
                f"--authorization-kubeconfig={client}",
            ),
            environment={"HOME": str(folder)},
        )

    def prepare(self) -> None:
        folder = self.make_folder()
        self.server_certificate()
        client = kubeconfig(
            self.site, self.authorities, folder / "client.json", Leaf(common_name="system:kube-scheduler")
        )
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(client), "qps": 200, "burst": 400},
            "leaderElection": {"leaderElect": False},
            "enableProfiling": False,
        }
        write_file(folder / "scheduler.json", json.dumps(configuration, indent=2))
