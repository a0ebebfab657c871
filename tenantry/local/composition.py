"""What a local platform is made of: its parts, in the order of their start, as it was made."""

from __future__ import annotations

from pathlib import Path

from tenantry.local.cache import Redis
from tenantry.local.cluster import ApiServer, Authorities, ControllerManager, Etcd, Scheduler
from tenantry.local.containers import Containerd
from tenantry.local.database import MariaDB
from tenantry.local.keys import OpenBao
from tenantry.local.kubelet import Kubelet
from tenantry.local.layout import Layout, read_json, write_json
from tenantry.local.messaging import Epmd, RabbitMQ
from tenantry.local.names import CoreDns
from tenantry.local.operating import Operated, Operator
from tenantry.local.part import Part, Site
from tenantry.local.simulation import Kwok
from tenantry.local.volumes import LocalPath

__all__ = [
    "CONTROL_PLANE",
    "NODE_PARTS",
    "NODE_SERVICES",
    "PARTS",
    "SERVICES",
    "chains",
    "note_operated",
    "operator_of",
]

SERVICES = (OpenBao.name, MariaDB.name, Redis.name, Epmd.name, RabbitMQ.name)
CONTROL_PLANE = (Etcd.name, ApiServer.name, ControllerManager.name, Scheduler.name, Kwok.name)
NODE_PARTS = (Containerd.name, Kubelet.name)
NODE_SERVICES = (CoreDns.name, LocalPath.name)
"""What pods on a real node need besides the shared services: names and volumes."""
PARTS = (*SERVICES, *CONTROL_PLANE, *NODE_SERVICES, *NODE_PARTS, Operator.name)


def chains(site: Site, *, own_cluster: bool) -> list[list[Part]]:
    """Parts that wait for one another, in the order of their start; the chains are independent."""
    openbao = OpenBao(site)
    found: list[list[Part]] = [[openbao, MariaDB(site, openbao)], [Redis(site)], [Epmd(site), RabbitMQ(site)]]
    if own_cluster:
        authorities = Authorities.of(site.layout.authorities)
        kinds = (Etcd, ApiServer, ControllerManager, Scheduler, Kwok)
        cluster: list[Part] = [kind(site, authorities) for kind in kinds]
        if site.node is not None:
            containerd = Containerd(site, site.node)
            kubelet = Kubelet(site, authorities, site.node, containerd)
            names, volumes = CoreDns(site, authorities, site.node), LocalPath(site, authorities, site.node)
            cluster += [names, containerd, kubelet, volumes]
        found.append(cluster)
    return found


def operator_of(site: Site) -> Operator | None:
    """The operator of a platform that was made to have one."""
    noted = read_json(site.layout.record).get("operator")
    if noted is None:
        return None
    operated = Operated(records=Path(noted["records"]), build=str(noted["build"]))
    return Operator(site, Authorities.of(site.layout.authorities), OpenBao(site).url, operated)


def note_operated(layout: Layout, operated: Operated) -> None:
    record, noted = read_json(layout.record), {"records": str(operated.records), "build": operated.build}
    if record.get("operator") != noted:
        write_json(layout.record, {**record, "operator": noted})
