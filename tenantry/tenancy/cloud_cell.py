"""The cell file of a cell that `stacks/cloud_stack.py` made: where its services are, for the other stacks."""

from __future__ import annotations

import io
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree

from tenantry.tenancy.cell import (
    Aws,
    Backups,
    Cache,
    Cell,
    CellSpec,
    Database,
    Egress,
    Kubernetes,
    Messaging,
    Metadata,
    Peer,
)
from tenantry.tenancy.cloud import Cloud

__all__ = ["Made", "cell_of", "cell_text"]

STORAGE_CLASS, SHARED_STORAGE_CLASS = "tenantry-gp3", "tenantry-efs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What only AWS decides. Hosts are names; data_range holds the addresses of all of them."""

    data_range: str
    database_host: str
    database_secret: str
    database_subnet_group: str
    database_security_group: str
    rds_domain: str
    cache_host: str
    cache_user_group: str
    messaging_host: str
    management_url: str
    backups_url: str


def cell_of(cloud: Cloud, made: Made, *, authorities: str) -> Cell:
    """authorities: PEM of everybody whom the cell trusts."""
    data = Peer(cidr=made.data_range)
    return Cell(
        metadata=Metadata(name=cloud.metadata.name),
        spec=CellSpec(
            region=cloud.spec.region,
            residency=cloud.spec.residency,
            domain=cloud.spec.domain,
            kubernetes=Kubernetes(
                cluster_issuer=cloud.spec.cluster_issuer,
                storage_class=STORAGE_CLASS,
                shared_storage_class=SHARED_STORAGE_CLASS,
            ),
            openbao=cloud.spec.openbao,
            database=Database(host=made.database_host, peer=data, max_connections=cloud.spec.database.max_connections),
            cache=Cache(host=made.cache_host, peer=data),
            messaging=Messaging(host=made.messaging_host, management_url=made.management_url, peer=data),
            egress=Egress(host="egress.tenantry-egress.svc", peer=Peer(namespace="tenantry-egress")),
            backups=Backups(url=made.backups_url),
            images=cloud.spec.images,
            aws=Aws(
                account=cloud.spec.account,
                region=cloud.spec.region,
                rds_domain=made.rds_domain,
                database_subnet_group=made.database_subnet_group,
                database_security_group=made.database_security_group,
                database_secret=made.database_secret,
                cache_user_group=made.cache_user_group,
                cost_center=cloud.spec.cost_center,
            ),
            ca_bundle=authorities,
        ),
    )


def cell_text(cell: Cell) -> str:
    """The cell as a file; `load_cell` reads the same cell from it."""
    content = cell.model_dump(mode="json", by_alias=True, exclude_none=True)
    walk_tree(content)
    yaml = YAML()
    yaml.width = 110
    stream = io.StringIO()
    stream.write("# Made by `pulumi stack output cellFile` of the cloud stack.\n")
    yaml.dump(content, stream)
    return stream.getvalue()
