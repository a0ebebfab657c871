"""A cell: one cluster with its OpenBao and its database, cache and messaging servers, in one region.

Read from a cell file (`kind: Cell`), which `tenantry local up` writes for the local platform and a platform
engineer writes for a cluster of their own. It holds addresses and names only, never a credential: those come
from the environment (VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT, KUBECONFIG) and from OpenBao.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

__all__ = [
    "Aws",
    "Backups",
    "Cache",
    "Cell",
    "CellSpec",
    "Copies",
    "Database",
    "Egress",
    "Images",
    "Kubernetes",
    "Messaging",
    "Metadata",
    "Monitoring",
    "OpenBao",
    "Peer",
    "Physical",
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Peer(_Model):
    """Who stands at the other end of a network rule: pods in a namespace, or an address range; one of the two."""

    namespace: str | None = None
    pod_labels: dict[str, str] = Field(default_factory=dict)
    cidr: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Peer:
        if (self.namespace is None) == (self.cidr is None):
            raise ValueError("give either namespace (with optional podLabels) or cidr")
        return self


class Kubernetes(_Model):
    """What the cluster offers. A None class or issuer leaves the cluster's own default."""

    simulated_nodes: bool = False
    tenant_nodes: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that tenants' pods go to, and no others; taints that say the same are tolerated. Empty: any
    node."""
    ingress_class: str | None = "nginx"
    ingress_peer: Peer = Peer(namespace="ingress-nginx")
    api_server_peer: Peer | None = None
    """From where the API server's connections to pods come, by which a release's smoke checks are asked; None: the
    network plugin lets them through without a rule."""
    operator_peer: Peer = Peer(namespace="tenantry-system", pod_labels={"app.kubernetes.io/name": "tenantry-operator"})
    """Where the operator is, in a cell that has one: it backs up the database servers in tenants' namespaces."""
    dns_peer: Peer = Peer(namespace="kube-system", pod_labels={"k8s-app": "kube-dns"})
    cluster_issuer: str | None = None
    storage_class: str | None = None
    shared_storage_class: str | None = None
    """Class that gives ReadWriteMany volumes; None: workloads with several web replicas need object storage."""


class OpenBao(_Model):
    """The cell's key manager. Mounts are names without slashes."""

    address: str
    peer: Peer
    transit_mount: str = "transit"
    kv_mount: str = "kv"
    database_mount: str = "database"
    kubernetes_mount: str = "kubernetes"
    audience: str = "openbao"


class Database(_Model):
    """The shared MariaDB server. `connection` is its name in OpenBao's database engine."""

    host: str
    port: int = 3306
    peer: Peer
    connection: str = "shared"
    max_connections: int = 2000


class Cache(_Model):
    host: str
    port: int = 6379
    peer: Peer


class Messaging(_Model):
    host: str
    port: int = 5671
    management_url: str
    peer: Peer


class Egress(_Model):
    """The cell's egress proxy: the only way out for a tenant, by a per-tenant list of hosts."""

    host: str
    port: int = 3128
    namespace: str = "tenantry-egress"
    peer: Peer


class Physical(_Model):
    """Physical backups of the shared database server, from which one tenant's schema is brought to any moment. They are
    taken and read on the machine that the server runs on, where mariadb-backup is installed."""

    folder: str
    """Absolute path; encrypted like the server's own files. Scratch servers stand in it, while they are needed."""
    options: str
    """The server's own option file: where its data is, and how its keys are found."""
    every_hours: int = Field(default=24, ge=1, le=168)
    """From one to the next, where the operator runs on the server's machine and takes them."""


class Backups(_Model):
    """Where backups go: an S3-compatible bucket, or a folder of the machine that takes them (local platform)."""

    kind: Literal["s3", "folder"] = "s3"
    url: str
    """`https://host/bucket` for s3, an absolute path for folder."""
    peer: Peer | None = None
    """Where an s3 store is that stands in the cell's own network: the pods of backups reach it there, and trust the
    cell's `caBundle`. None: they go out through the egress proxy, which leads to no private address."""
    physical: Physical | None = None
    """None: no tenant can be brought to a moment between two backups."""

    @model_validator(mode="after")
    def _reachable(self) -> Backups:
        if self.peer is not None and self.kind == "folder":
            raise ValueError("a folder is on the machine that takes the backups and has no peer: leave the peer out")
        return self


class Copies(_Model):
    """For how many days copies outlive a deleted tenant; 0: there are none. The deletion's certificate names each with
    its last day, so they must be what the cell's operators really do."""

    openbao_snapshot_days: int = Field(default=30, ge=0)
    """Snapshots of OpenBao, which hold destroyed keys."""
    binary_log_days: int = Field(default=7, ge=0)
    """The database server's binary logs."""
    physical_backup_days: int = Field(default=30, ge=0)
    """Backups of the whole database server."""
    state_history_days: int = Field(default=30, ge=0)
    """Copies or old versions of state files outside the backend, such as a bucket's versions."""
    audit_log_days: int = Field(default=365, ge=0)
    """Audit logs of OpenBao and the API server: names and times, no data."""
    tenant_backup_days: int = Field(default=30, ge=0)
    """A deleted tenant's own backups, which nothing opens once its key is destroyed. Left out by policy `delete`."""


class Monitoring(_Model):
    """`operator`: PodMonitor and PrometheusRule objects (needs the Prometheus operator's CRDs).
    `annotations`: `prometheus.io/*` annotations and labelled ConfigMaps for rules and dashboards."""

    flavour: Literal["annotations", "operator"] = "annotations"
    peer: Peer = Peer(namespace="monitoring")


class Images(_Model):
    """Images of Tenantry's own helpers. `registry` replaces the host of every image, None keeps it.

    sources: where images may come from, as `host` or `host/path`; a policy refuses others. With a `registry` it is
    that one alone.
    """

    agent: str = "openbao/openbao:2.7.2"
    backup: str = "ghcr.io/tenantry/backup:0.1.0"
    egress: str = "ubuntu/squid:6.6-24.04_beta"
    mariadb: str = "mariadb:10.11.14"
    redis: str = "redis:7.2.5"
    registry: str | None = None
    sources: tuple[str, ...] = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io")

    @property
    def allowed_sources(self) -> tuple[str, ...]:
        return self.sources if self.registry is None else (self.registry,)

    def located(self, image: str) -> str:
        """`image` as this cell pulls it: its host replaced by `registry`. An image that is there already stays."""
        if self.registry is None or image.startswith(f"{self.registry}/"):
            return image
        host, slash, rest = image.partition("/")
        named = slash and ("." in host or ":" in host or host == "localhost")
        return f"{self.registry}/{rest if named else image}"


class Aws(_Model):
    """What a cell at AWS has besides; `stacks/cloud_stack.py` makes it and writes it down."""

    account: str = Field(pattern=r"^[0-9]{12}$")
    region: str = Field(pattern=r"^[a-z]{2}-[a-z]+-[0-9]$")
    rds_domain: str = Field(pattern=r"^[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.com$")
    """What follows an instance's identifier in its host name: the same for all of an account and region."""
    database_subnet_group: str
    database_security_group: str
    """Lets the cluster in, and nobody else."""
    database_secret: str = Field(pattern=r"^arn:aws:secretsmanager:")
    """ARN of the shared server's master login in Secrets Manager, which RDS rotates; OpenBao gets one of its own."""
    cache_user_group: str
    """ElastiCache user group of the shared cache; tenants' users are made in it."""
    cost_center: str


class CellSpec(_Model):
    region: str
    residency: tuple[str, ...] = ("any",)
    domain: str
    """Tenants get `<name>.<domain>` when they declare no host of their own."""
    kubernetes: Kubernetes = Kubernetes()
    openbao: OpenBao
    database: Database
    cache: Cache
    messaging: Messaging
    egress: Egress
    operator: bool = False
    """Whether an operator runs for the cell: it then owns what follows the load, which an autoscaler does otherwise."""
    backups: Backups
    copies: Copies = Copies()
    monitoring: Monitoring = Monitoring()
    images: Images = Images()
    aws: Aws | None = None
    """None: a cell elsewhere; it has no rds databases."""
    engine: Literal["embedded", "cli"] = "embedded"
    """What runs the cell's stacks unless a command says otherwise: in-process, or the Pulumi CLI."""
    ca_bundle: str = ""
    """PEM of the authority that signed the shared services' certificates; public, mounted into pods."""

    @property
    def store_authority(self) -> str:
        """PEM of the authority that signed the backup store's certificate; "": one of the public ones."""
        return self.ca_bundle if self.backups.peer is not None else ""


class Metadata(_Model):
    name: str = Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$")
    labels: dict[str, str] = Field(default_factory=dict)


class Cell(_Model):
    api_version: Literal["tenantry.dev/v1alpha1"] = "tenantry.dev/v1alpha1"
    kind: Literal["Cell"] = "Cell"
    metadata: Metadata
    spec: CellSpec
