"""The cell file that describes a local platform to everything else."""

from __future__ import annotations

import io

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree

from tenantry.local.images import AGENT, BACKUP, MARIADB, REDIS, SOURCE
from tenantry.local.node import NODE_LABEL
from tenantry.local.part import Site
from tenantry.local.ports import LOOPBACK
from tenantry.local.volumes import SHARED_STORAGE_CLASS, STORAGE_CLASS
from tenantry.tenancy.cell import (
    Backups,
    Cache,
    Cell,
    CellSpec,
    Copies,
    Database,
    Egress,
    Images,
    Kubernetes,
    Messaging,
    Metadata,
    OpenBao,
    Peer,
    Physical,
)

__all__ = ["describe", "render"]


def describe(site: Site, *, simulated: bool, operated: bool = False, copies_days: int = 0) -> Cell:
    """The cell as it stands. simulated: its nodes are the platform's own, not those of a cluster that was there.
    operated: an operator keeps its tenants. copies_days: how long backups of the whole cell are kept, 0: none is made.
    """
    address = site.service_address
    here = Peer(cidr=f"{address}/32")
    name, ports = site.layout.name, site.ports
    return Cell(
        metadata=Metadata(name=name, labels={"tenantry.dev/local": "true"}),
        spec=CellSpec(
            region="local",
            domain="tenantry.localhost" if name == "default" else f"{name}.tenantry.localhost",
            kubernetes=_kubernetes(site, simulated=simulated),
            openbao=OpenBao(address=f"https://{address}:{ports['openbao']}", peer=here),
            database=Database(host=address, port=ports["mariadb"], peer=here),
            cache=Cache(host=address, port=ports["redis"], peer=here),
            messaging=Messaging(
                host=address,
                port=ports["rabbitmq"],
                management_url=f"https://{LOOPBACK}:{ports['rabbitmq-management']}",
                peer=here,
            ),
            egress=Egress(host="egress.tenantry-egress.svc", peer=Peer(namespace="tenantry-egress")),
            operator=operated,
            backups=Backups(
                kind="folder",
                url=str(site.layout.backups),
                physical=Physical(
                    folder=str(site.layout.part("mariadb-copies")),
                    options=str(site.layout.part("mariadb") / "my.cnf"),
                ),
            ),
            # Its own backups, as far back as they are kept. MariaDB keeps its binary logs for a week, and older
            # physical backups of a tenant's could not be brought on.
            copies=Copies(
                openbao_snapshot_days=copies_days,
                physical_backup_days=max(7, copies_days),
                state_history_days=copies_days,
                binary_log_days=7,
            ),
            **({} if site.node is None else {"images": _images()}),
            ca_bundle=site.authority.pem,
        ),
    )


def _kubernetes(site: Site, *, simulated: bool) -> Kubernetes:
    if not simulated:
        return Kubernetes(simulated_nodes=False)
    classes = {"storage_class": "simulated", "shared_storage_class": "simulated"}
    if site.node is None:
        return Kubernetes(simulated_nodes=True, **classes)
    machine = Peer(cidr=f"{site.node.gateway}/32")
    classes |= {"storage_class": STORAGE_CLASS, "shared_storage_class": SHARED_STORAGE_CLASS}
    return Kubernetes(
        simulated_nodes=False,
        tenant_nodes=dict([NODE_LABEL]),
        api_server_peer=machine,
        ingress_peer=machine,
        operator_peer=machine,
        **classes,
    )


def _images() -> Images:
    """What a real node runs was made on this machine."""
    return Images(agent=AGENT, backup=BACKUP, mariadb=MARIADB, redis=REDIS, sources=(SOURCE, *Images().sources))


def render(cell: Cell) -> str:
    """The cell file's text. Defaults are left out, so that they stay the defaults of whoever reads it."""
    content = cell.model_dump(mode="json", by_alias=True, exclude_unset=True)
    content = {"apiVersion": cell.api_version, "kind": cell.kind, **content}
    walk_tree(content)  # the certificate as a block, not one line with escapes
    yaml = YAML()
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()
