"""A cloud file (`kind: Cloud`): the AWS account and region in which `stacks/cloud_stack.py` makes a cell.

Pure and frozen like the cell file, and free of credentials: those of AWS come from the environment. Every name is
decided here, within AWS's limits, so that no resource has to be looked up. Storage is in MiB, time in days.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tenantry.tenancy.cell import Images, OpenBao, Peer
from tenantry.tenancy.document import parse, read, validate
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.model import Fields
from tenantry.tenancy.quantity import Mebibytes

__all__ = ["ZONES", "Cloud", "CloudSpec", "load_authorities", "load_cloud"]

ZONES = 3
"""Zones of a cell: what losing one leaves is still a majority."""
_SMALLEST_PREFIX, _LARGEST_PREFIX = 16, 18
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

Whole = Annotated[int, Field(ge=1, strict=True)]


def _network(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise PydanticCustomError(
            "network", "{given} is not a range of IPv4 addresses", {"given": value, "hint": "such as 10.64.0.0/16"}
        ) from None
    if not network.is_private:
        raise PydanticCustomError(
            "network", "{given} is not a private range", {"given": value, "hint": "take one of 10.0.0.0/8"}
        )
    return value


PrivateNetwork = Annotated[str, AfterValidator(_network)]


class CloudMetadata(Fields):
    name: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9]){0,28}$", max_length=29)]
    """The cell's name; two hyphens in a row are not allowed, since several AWS services refuse them."""


class CloudNetwork(Fields):
    cidr: PrivateNetwork = "10.64.0.0/16"
    """Addresses of the VPC, /16 to /18; no range that it will be connected with."""
    admin_cidrs: tuple[PrivateNetwork, ...] = ()
    """Private ranges (a VPN, a peered network) from which people and pipelines reach the cluster's API."""

    @field_validator("cidr")
    @classmethod
    def _roomy(cls, value: str) -> str:
        if not _SMALLEST_PREFIX <= ipaddress.IPv4Network(value).prefixlen <= _LARGEST_PREFIX:
            raise PydanticCustomError(
                "network", "{given} is not from /16 to /18", {"given": value, "hint": "every pod takes an address"}
            )
        return value


class CloudCluster(Fields):
    version: Annotated[str, Field(pattern=r"^1\.[0-9]{2}$")] = "1.34"
    admin_roles: Annotated[
        tuple[Annotated[str, Field(pattern=r"^arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]{1,128}$")], ...],
        Field(min_length=1),
    ]
    """IAM roles that administer the cluster; nobody else can, not even who made it."""
    instance_types: Annotated[tuple[str, ...], Field(min_length=1)] = ("m7i.xlarge",)
    """x86-64 instance types."""
    nodes_min: Annotated[int, Field(ge=ZONES, strict=True)] = ZONES
    nodes_max: Whole = 12
    volume_gib: Annotated[int, Field(ge=30, strict=True)] = 80
    """Disk of a node."""
    log_days: Literal[30, 90, 180, 365, 731] = 365
    """How long logs of the control plane and of the network are kept."""

    @model_validator(mode="after")
    def _ordered(self) -> CloudCluster:
        if self.nodes_min > self.nodes_max:
            raise PydanticCustomError("nodes", "nodesMin is larger than nodesMax", {"hint": "raise nodesMax"})
        return self


class CloudDatabase(Fields):
    instance_class: Annotated[str, Field(pattern=r"^db\.[a-z0-9]+\.[a-z0-9]+$")] = "db.r7g.large"
    engine_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = "10.11"
    storage: Mebibytes = 200 * 1024
    """Storage of the shared server; it grows by itself to twice that."""
    max_connections: Whole = 1000
    backup_days: Annotated[int, Field(ge=7, le=35, strict=True)] = 14
    """How far back the shared server can be restored to any second."""


class CloudCache(Fields):
    node_type: Annotated[str, Field(pattern=r"^cache\.[a-z0-9]+\.[a-z0-9]+$")] = "cache.m7g.large"
    engine_version: Annotated[str, Field(pattern=r"^7\.[0-9]$")] = "7.1"


class CloudMessaging(Fields):
    instance_type: Annotated[str, Field(pattern=r"^mq\.[a-z0-9]+\.[a-z0-9]+$")] = "mq.m7g.large"
    engine_version: Annotated[str, Field(pattern=r"^[34]\.[0-9]{1,2}$")] = "3.13"


class CloudBackups(Fields):
    lock_days: Annotated[int, Field(ge=1, le=36500, strict=True)] = 35
    """How long no one can delete or overwrite a copy."""
    lock_mode: Literal["governance", "compliance"] = "governance"
    """compliance: not even the account's owner can lift the lock before its time."""


class CloudSpec(Fields):
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    """Number of the AWS account; a run with credentials of another one is refused."""
    region: Annotated[str, Field(pattern=r"^(eu|us|ca|sa|ap|af|me|il|mx)-[a-z]+-[0-9]$")]
    zones: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z]$")], ...], Field(min_length=ZONES, max_length=ZONES)
    ] = ("a", "b", "c")
    """Letters of the three zones."""
    domain: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$", max_length=200)]
    """Zone in Route 53 in which the region's tenants get their names, such as eu.tenants.example.com."""
    residency: Annotated[tuple[str, ...], Field(min_length=1)] = ("any",)
    """Where data stays, in the words of tenant files."""
    cost_center: Annotated[str, Field(pattern=r"^[\w .:/=+@-]{1,128}$")]
    """Value of the tag `cost-center` on everything."""
    network: CloudNetwork = CloudNetwork()
    cluster: CloudCluster
    database: CloudDatabase = CloudDatabase()
    cache: CloudCache = CloudCache()
    messaging: CloudMessaging = CloudMessaging()
    backups: CloudBackups = CloudBackups()
    openbao: OpenBao = OpenBao(
        address="https://openbao.openbao.svc:8200",
        peer=Peer(namespace="openbao", pod_labels={"app.kubernetes.io/name": "openbao"}),
    )
    cluster_issuer: str | None = "letsencrypt"
    images: Images = Images()
    authority_files: Annotated[tuple[str, ...], Field(min_length=1)]
    """PEM files, relative to this one: the region's RDS bundle, Amazon's root, and OpenBao's authority."""

    @field_validator("zones")
    @classmethod
    def _apart(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise PydanticCustomError("zones", "a zone stands here twice", {"hint": "name three different letters"})
        return value


class Cloud(Fields):
    api_version: Literal["tenantry.dev/v1alpha1"]
    kind: Literal["Cloud"]
    metadata: CloudMetadata
    spec: CloudSpec

    @property
    def prefix(self) -> str:
        """Begin of every name in the account: 38 characters at most, since ElastiCache takes 40."""
        return f"tenantry-{self.metadata.name}"

    @property
    def bucket(self) -> str:
        """Bucket names are shared by all of AWS: the account's number keeps others from taking ours."""
        return f"{self.prefix}-{self.spec.account}"

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(f"{self.spec.region}{letter}" for letter in self.spec.zones)

    def tags(self, part: str) -> dict[str, str]:
        """Tags of everything that belongs to a part of the cell; costs are told apart by them."""
        return {
            "Name": f"{self.prefix}-{part}",
            "cost-center": self.spec.cost_center,
            "tenantry.dev/cell": self.metadata.name,
            "tenantry.dev/part": part,
            "managed-by": "tenantry",
        }


def load_cloud(path: Path) -> Cloud:
    """Read a cloud file. Raises InvalidInput with every problem."""
    return validate(parse(read(path), source=str(path)), Cloud, noun="the cloud file")


def load_authorities(cloud: Cloud, folder: Path) -> str:
    """PEM of everybody whom the cell trusts. Raises InvalidInput for a file that is missing or no certificate."""
    texts = []
    for name in cloud.spec.authority_files:
        text = read(folder / name).strip()
        if not text.startswith(_BEGIN) or not text.endswith(_END):
            raise InvalidInput(
                "this is not a file of certificates",
                source=str(folder / name),
                hint=f"PEM begins with {_BEGIN}; docs/aws.md says where to get it",
            )
        texts.append(f"{text}\n")
    return "".join(texts)
