"""Every pair of ends that matters, against what the tenant's policies make of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from tenantry.tenancy.cell import Peer
from tenantry.tenancy.spec import DatabaseTier, MessagingKind, TenantSpec
from tenantry.tenancy.workload_spec import Reach, SmokeCheck
from tenantry_components.backup import backup_manifests
from tenantry_components.egress import allowed_hosts
from tenantry_components.manifest import component_labels
from tenantry_components.network_rules import network_policies
from tests.mocks.conftest import TENANTS, own_servers, tenant
from tests.mocks.network_semantics import End, allowed

OUTSIDE = {
    "ingress": (End(namespace="ingress-nginx"), 80),
    "dns": (End(namespace="kube-system", labels={"k8s-app": "kube-dns"}), 53),
    "openbao": (End(namespace="openbao", labels={"app": "openbao"}), 8200),
    "database": (End(namespace="data", labels={"app": "mariadb"}), 3306),
    "cache": (End(namespace="data", labels={"app": "redis"}), 6379),
    "messaging": (End(namespace="data", labels={"app": "rabbitmq"}), 5671),
    "egress": (End(namespace="tenantry-egress"), 3128),
    "monitoring": (End(namespace="monitoring"), 9090),
    "internet": (End(address="203.0.113.9"), 443),
    "metadata service": (End(address="169.254.169.254"), 80),
    "API server": (End(address="10.96.0.1"), 443),
}


def own(spec: TenantSpec, component: str) -> End:
    return End(namespace=spec.names.namespace, labels=component_labels(spec, component))


def components(spec: TenantSpec) -> dict[str, frozenset[Reach]]:
    """What each kind of pod of the tenant may reach."""
    found = {module.name: module.reach | {Reach.OPENBAO} for module in spec.workload.modules}
    found["backup"] = frozenset({Reach.DATABASE, Reach.OPENBAO, Reach.EGRESS})
    if spec.database.tier is DatabaseTier.DEDICATED:
        found["database"] = frozenset({Reach.OPENBAO})
    if spec.cache.dedicated:
        found["cache"] = frozenset({Reach.OPENBAO})
    return found


def test_pods_reach_outside_what_they_declare_and_nothing_else(spec: TenantSpec) -> None:
    policies = network_policies(spec)
    shared = {
        Reach.DATABASE: spec.database.tier is DatabaseTier.SHARED,
        Reach.CACHE: not spec.cache.dedicated,
        Reach.MESSAGING: spec.messaging.kind is MessagingKind.RABBITMQ,
        Reach.OPENBAO: True,
        Reach.EGRESS: True,
    }
    for (source, reach), (name, (target, port)) in itertools.product(components(spec).items(), OUTSIDE.items()):
        expected = name == "dns" or any(one.value == name and shared[one] for one in reach)
        assert allowed(policies, own(spec, source), target, port) is expected, f"{source} → {name}:{port}"
        assert not allowed(policies, own(spec, source), target, port + 1), f"{source} → {name}:{port + 1}"


def test_from_outside_only_the_ingress_monitoring_and_openbao_come_in(spec: TenantSpec) -> None:
    policies = network_policies(spec)
    for name, (source, _port) in OUTSIDE.items():
        for target, port in itertools.product(components(spec), (80, 3306, 6379)):
            expected = (target == "web" and port == 80 and name in {"ingress", "monitoring"}) or (
                target == "database" and port == 3306 and name == "openbao"
            )
            assert allowed(policies, source, own(spec, target), port) is expected, f"{name} → {target}:{port}"


def test_the_operator_of_a_cell_that_has_one_comes_to_the_tenants_own_database_and_to_nothing_else(
    spec: TenantSpec,
) -> None:
    cell = spec.cell.model_copy(update={"spec": spec.cell.spec.model_copy(update={"operator": True})})
    policies = network_policies(replace(spec, cell=cell))
    operator = End(namespace="tenantry-system", labels={"app.kubernetes.io/name": "tenantry-operator"})
    neighbour = End(namespace="tenantry-system", labels={"app.kubernetes.io/name": "another"})
    for target, port in itertools.product(components(spec), (80, 3306, 6379)):
        expected = target == "database" and port == 3306
        assert allowed(policies, operator, own(spec, target), port) is expected, f"operator → {target}:{port}"
        assert not allowed(policies, neighbour, own(spec, target), port)
        assert not allowed(network_policies(spec), operator, own(spec, target), port)


def test_inside_only_own_servers_are_reached_and_only_by_who_declares_it(spec: TenantSpec) -> None:
    policies = network_policies(spec)
    reaches = components(spec)
    servers = {"database": (Reach.DATABASE, 3306), "cache": (Reach.CACHE, 6379)}
    for source, target, port in itertools.product(reaches, reaches, (80, 3306, 6379)):
        expected = target in servers and servers[target][1] == port and servers[target][0] in reaches[source]
        assert allowed(policies, own(spec, source), own(spec, target), port) is expected, f"{source} → {target}:{port}"


@pytest.mark.parametrize("port", [80, 443, 3306, 6379, 8080])
def test_tenants_never_reach_one_another(spec: TenantSpec, port: int) -> None:
    other = own_servers(tenant("globex", "zyxwvuts"))
    assert other.names.namespace not in {one.names.namespace for one in TENANTS.values()}
    policies = (*network_policies(spec), *network_policies(other))
    for source, target in itertools.product(components(spec), components(other)):
        assert not allowed(policies, own(spec, source), own(other, target), port), f"{source} → {target}"
        assert not allowed(policies, own(other, target), own(spec, source), port), f"{target} → {source}"


def test_the_first_policy_alone_denies_everything(spec: TenantSpec) -> None:
    deny = network_policies(spec)[:1]
    assert not allowed(deny, own(spec, "web"), OUTSIDE["dns"][0], 53, "UDP")
    assert not allowed(deny, OUTSIDE["ingress"][0], own(spec, "web"), 80)


def test_an_address_range_as_a_peer_is_exact(spec: TenantSpec) -> None:
    local = spec.cell.spec.openbao.model_copy(update={"peer": Peer(cidr="127.0.0.1/32")})
    cell = spec.cell.model_copy(update={"spec": spec.cell.spec.model_copy(update={"openbao": local})})
    policies = network_policies(replace(spec, cell=cell))
    assert allowed(policies, own(spec, "web"), End(address="127.0.0.1"), 8200)
    assert not allowed(policies, own(spec, "web"), End(address="127.0.0.2"), 8200)


def test_the_api_server_asks_what_has_smoke_checks_where_the_cell_says_from_where(spec: TenantSpec) -> None:
    modules = tuple(
        replace(module, smoke=(SmokeCheck(path="/", status=200, text=None),)) if module.name == "web" else module
        for module in spec.workload.modules
    )
    asked = replace(spec, workload=replace(spec.workload, modules=modules))
    kubernetes = spec.cell.spec.kubernetes.model_copy(update={"api_server_peer": Peer(cidr="10.0.0.1/32")})
    cell = spec.cell.model_copy(update={"spec": spec.cell.spec.model_copy(update={"kubernetes": kubernetes})})
    server = End(address="10.0.0.1")
    assert not allowed(network_policies(asked), server, own(spec, "web"), 80)
    policies = network_policies(replace(asked, cell=cell))
    assert allowed(policies, server, own(spec, "web"), 80)
    assert not allowed(policies, server, own(spec, "web"), 81)
    assert not allowed(policies, server, own(spec, "mail"), 80)
    assert not allowed(policies, End(address="10.0.0.2"), own(spec, "web"), 80)


def test_an_own_cache_that_no_module_reaches_lets_nobody_in(spec: TenantSpec) -> None:
    modules = tuple(replace(one, reach=one.reach - {Reach.CACHE}) for one in spec.workload.modules)
    alone = replace(spec, cache=replace(spec.cache, dedicated=True), workload=replace(spec.workload, modules=modules))
    policies = network_policies(alone)
    assert not allowed(policies, own(alone, "web"), own(alone, "cache"), alone.cache.port)
    assert not allowed(policies, OUTSIDE["ingress"][0], own(alone, "cache"), alone.cache.port)


def test_a_store_in_the_cells_own_network_is_reached_by_backups_alone_and_without_the_proxy(spec: TenantSpec) -> None:
    store = End(address="10.0.0.9")
    backups = spec.cell.spec.backups.model_copy(
        update={"url": "https://10.0.0.9:9000/copies", "peer": Peer(cidr="10.0.0.9/32")}
    )
    cell = spec.cell.model_copy(update={"spec": spec.cell.spec.model_copy(update={"backups": backups})})
    inside = replace(spec, cell=cell)
    policies = network_policies(inside)
    for source in components(inside):
        assert allowed(policies, own(inside, source), store, 9000) is (source == "backup"), source
    assert not allowed(policies, own(inside, "backup"), store, 443)
    assert not allowed(policies, own(inside, "backup"), *OUTSIDE["egress"])
    assert not allowed(network_policies(spec), own(spec, "backup"), store, 9000)
    assert "10.0.0.9:9000" not in allowed_hosts(inside)
    container = _backup_container(inside)
    assert not {"HTTPS_PROXY", "TENANTRY_EGRESS"} & {one["name"] for one in container["env"]}
    assert "TENANTRY_EGRESS" in {one["name"] for one in _backup_container(spec)["env"]}


def _backup_container(spec: TenantSpec) -> dict[str, Any]:
    _, cron = backup_manifests(spec)
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container
