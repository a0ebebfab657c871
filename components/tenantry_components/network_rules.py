"""Who may talk to whom in a tenant's namespace, as NetworkPolicy manifests. Pure.

Invariants, which the tests check pair by pair: nothing is allowed that no rule names; no rule names another
tenant's pods; a module opens connections only to what its `reach` says, and to DNS; only the ingress controller
reaches a public module, only the monitoring a metrics port, and only the API server, where the cell names it, a port
with smoke checks; a database or cache of the tenant's own is open to this namespace's modules that reach it, and to
nobody else but, of the database, OpenBao and the cell's operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tenantry.tenancy.cell import Peer
from tenantry.tenancy.spec import DatabaseTier, MessagingKind, TenantSpec
from tenantry.tenancy.workload_spec import Reach
from tenantry_components.manifest import Manifest, metadata
from tenantry_components.trust import workload_files

__all__ = ["BACKUP", "CACHE", "DATABASE", "network_policies", "peer_rule", "port_of"]

BACKUP = "backup"
DATABASE = "database"
CACHE = "cache"


def network_policies(spec: TenantSpec) -> tuple[Manifest, ...]:
    """All policies of the namespace; without the first, which denies, the others would allow nothing less."""
    return (
        _policy(spec, "default-deny", {}, ingress=[], egress=[]),
        _policy(spec, "reach-dns", {}, egress=[peer_rule("to", [spec.cell.spec.kubernetes.dns_peer], 53, dns=True)]),
        *_outward(spec),
        *_store(spec),
        *_public(spec),
        *_metrics(spec),
        *_smoke(spec),
        *_own_servers(spec),
    )


def port_of(url: str) -> int:
    """The port that a URL leads to, its scheme's own when it names none."""
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _outward(spec: TenantSpec) -> list[Manifest]:
    cell = spec.cell.spec
    with_agent = bool(workload_files(spec))
    policies = []
    for reach in Reach:
        pods = [module.name for module in spec.workload.modules if reach in module.reach]
        if reach is Reach.OPENBAO:
            # Every pod with a credential agent logs in there, whatever its own process may reach.
            pods = [module.name for module in spec.workload.modules if with_agent or reach in module.reach]
            pods += [name for name, own in ((DATABASE, _own_database(spec)), (CACHE, spec.cache.dedicated)) if own]
        if spec.backup.enabled and reach in _backup_reaches(spec):
            pods.append(BACKUP)
        if not pods:
            continue
        match reach:
            case Reach.DATABASE:
                own = DATABASE if _own_database(spec) else cell.database.peer
                rule = peer_rule("to", [own], spec.database.port)
            case Reach.CACHE:
                rule = peer_rule("to", [CACHE if spec.cache.dedicated else cell.cache.peer], spec.cache.port)
            case Reach.MESSAGING:
                if spec.messaging.kind is MessagingKind.DATABASE:
                    continue
                rule = peer_rule("to", [cell.messaging.peer], spec.messaging.port)
            case Reach.OPENBAO:
                rule = peer_rule("to", [cell.openbao.peer], port_of(cell.openbao.address))
            case Reach.EGRESS:
                rule = peer_rule("to", [cell.egress.peer], cell.egress.port)
        policies.append(_policy(spec, f"reach-{reach.value}", _any_of(pods), egress=[rule]))
    return policies


def _backup_reaches(spec: TenantSpec) -> tuple[Reach, ...]:
    outside = spec.cell.spec.backups.peer is None
    return (Reach.DATABASE, Reach.OPENBAO, *((Reach.EGRESS,) if outside else ()))


def _store(spec: TenantSpec) -> list[Manifest]:
    """Copies go to a store in the cell's own network without the egress proxy."""
    backups = spec.cell.spec.backups
    if backups.peer is None or not spec.backup.enabled:
        return []
    rule = peer_rule("to", [backups.peer], port_of(backups.url))
    return [_policy(spec, "reach-store", _any_of([BACKUP]), egress=[rule])]


def _public(spec: TenantSpec) -> list[Manifest]:
    peer = spec.cell.spec.kubernetes.ingress_peer
    return [
        _policy(spec, f"public-{module.name}", _any_of([module.name]), ingress=[peer_rule("from", [peer], module.port)])
        for module in spec.workload.modules
        if module.public and module.port is not None
    ]


def _metrics(spec: TenantSpec) -> list[Manifest]:
    peer = spec.cell.spec.monitoring.peer
    return [
        _policy(
            spec, f"metrics-{module.name}", _any_of([module.name]), ingress=[peer_rule("from", [peer], module.port)]
        )
        for module in spec.workload.modules
        if module.metrics_path is not None and module.port is not None
    ]


def _smoke(spec: TenantSpec) -> list[Manifest]:
    """The API server asks new pods of a release whether they are well."""
    peer = spec.cell.spec.kubernetes.api_server_peer
    return [
        _policy(spec, f"smoke-{module.name}", _any_of([module.name]), ingress=[peer_rule("from", [peer], module.port)])
        for module in spec.workload.modules
        if peer is not None and module.smoke
    ]


def _own_servers(spec: TenantSpec) -> list[Manifest]:
    servers = (
        (_own_database(spec), DATABASE, Reach.DATABASE, spec.database.port),
        (spec.cache.dedicated, CACHE, Reach.CACHE, spec.cache.port),
    )
    policies = []
    for own, server, reach, port in servers:
        if not own:
            continue
        clients = [module.name for module in spec.workload.modules if reach in module.reach]
        if server == DATABASE and spec.backup.enabled:
            clients.append(BACKUP)
        peers: list[Peer | str] = [*clients]
        if server == DATABASE:
            # It rotates the accounts' passwords.
            peers.append(spec.cell.spec.openbao.peer)
            if spec.cell.spec.operator:
                # It takes backups and brings them back, as the tenant.
                peers.append(spec.cell.spec.kubernetes.operator_peer)
        if not peers:
            # A rule that names nobody lets everybody in; without one the namespace's denial stands.
            continue
        policies.append(_policy(spec, server, _any_of([server]), ingress=[peer_rule("from", peers, port)]))
    return policies


def _own_database(spec: TenantSpec) -> bool:
    return spec.database.tier is DatabaseTier.DEDICATED


def _any_of(components: Sequence[str]) -> Manifest:
    return {
        "matchExpressions": [
            {"key": "app.kubernetes.io/component", "operator": "In", "values": sorted(set(components))},
        ]
    }


def peer_rule(direction: str, peers: Sequence[Peer | str], port: int | None, *, dns: bool = False) -> Manifest:
    """peers: outsiders, or names of components in this namespace."""
    ports = [{"protocol": "TCP", "port": port}]
    if dns:
        ports.append({"protocol": "UDP", "port": port})
    own = [peer for peer in peers if isinstance(peer, str)]
    outside = [_peer(peer) for peer in peers if isinstance(peer, Peer)]
    return {direction: [*outside, *([{"podSelector": _any_of(own)}] if own else [])], "ports": ports}


def _peer(peer: Peer) -> Manifest:
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": peer.cidr}}
    result: Manifest = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer.namespace}}}
    if peer.pod_labels:
        result["podSelector"] = {"matchLabels": dict(peer.pod_labels)}
    return result


def _policy(
    spec: TenantSpec,
    name: str,
    pods: Manifest,
    *,
    ingress: list[Manifest] | None = None,
    egress: list[Manifest] | None = None,
) -> Manifest:
    body: Manifest = {"podSelector": pods, "policyTypes": []}
    for kind, rules in (("ingress", ingress), ("egress", egress)):
        if rules is not None:
            body["policyTypes"].append(kind.capitalize())
            body[kind] = rules
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(spec, name),
        "spec": body,
    }
