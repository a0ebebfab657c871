"""One resource of each kind that tenants' programs make, each with something to change in place and something whose
change makes it anew. Small and free of each other, so that every kind is seen in every operation."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pulumi

from tenantry.tenancy.cell import Cell
from tenantry_components.cluster_provider import cluster_provider
from tenantry_components.providers.egress_entry import EgressEntry
from tenantry_components.providers.mariadb import Account, Schema
from tenantry_components.providers.openbao import DatabaseStaticRole, KvSecrets, TransitKey
from tenantry_components.providers.own_server import OwnServer
from tenantry_components.providers.rabbitmq import User, Vhost
from tenantry_components.providers.redis_acl import CacheUser

__all__ = ["DYNAMIC", "KUBERNETES", "UNCHANGEABLE", "Turn", "zoo"]


class Turn(StrEnum):
    MADE = "made"
    UPDATED = "updated"
    REPLACED = "replaced"


_POD = {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}
_TEMPLATE = {"metadata": {"labels": {"app": "zoo"}}, "spec": _POD}
_SELECTOR = {"matchLabels": {"app": "zoo"}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_ONCE = {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}

KUBERNETES: Mapping[str, Mapping[str, Any]] = {
    "kubernetes:apps/v1:Deployment": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "kubernetes:apps/v1:StatefulSet": {"spec": {"selector": _SELECTOR, "serviceName": "zoo", "template": _TEMPLATE}},
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler": {
        "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "absent"},
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
        }
    },
    "kubernetes:batch/v1:CronJob": {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": _ONCE}}},
    "kubernetes:batch/v1:Job": {"spec": _ONCE},
    "kubernetes:core/v1:ConfigMap": {"data": {"key": "value"}},
    "kubernetes:core/v1:LimitRange": {"spec": {"limits": [{"type": "Container", "default": {"memory": "64Mi"}}]}},
    "kubernetes:core/v1:Namespace": {},
    "kubernetes:core/v1:PersistentVolumeClaim": {"spec": _CLAIM},
    "kubernetes:core/v1:ResourceQuota": {"spec": {"hard": {"pods": "40"}}},
    "kubernetes:core/v1:Service": {"spec": {"selector": {"app": "zoo"}, "ports": [{"port": 80}]}},
    "kubernetes:core/v1:ServiceAccount": {"automountServiceAccountToken": False},
    "kubernetes:networking.k8s.io/v1:Ingress": {
        "spec": {"defaultBackend": {"service": {"name": "zoo", "port": {"number": 80}}}}
    },
    "kubernetes:networking.k8s.io/v1:NetworkPolicy": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    "kubernetes:policy/v1:PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "kubernetes:rbac.authorization.k8s.io/v1:Role": {
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    },
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "absent"},
        "subjects": [{"kind": "ServiceAccount", "name": "absent", "namespace": "default"}],
    },
}
_DYNAMIC = "pulumi-python:dynamic/tenantry:"
DYNAMIC = frozenset(
    _DYNAMIC + name
    for name in (
        "Account",
        "CacheUser",
        "DatabaseStaticRole",
        "EgressEntry",
        "KvSecrets",
        "MessagingUser",
        "OwnServer",
        "Schema",
        "TransitKey",
        "Vhost",
    )
)
UNCHANGEABLE = frozenset({_DYNAMIC + "TransitKey"})
"""Kinds of which every property is their identity: there is nothing to update."""


def zoo(*, namespace: str, cell: Cell, turn: Turn = Turn.MADE) -> None:
    """namespace: a new one's name, from which all other names follow."""
    provider = cluster_provider()
    home = _object(provider, "home", "kubernetes:core/v1:Namespace", {"metadata": {"name": namespace}})
    anew = "-anew" if turn is Turn.REPLACED else ""
    notes = {"pulumi.com/skipAwait": "true", **({"turn": turn.value} if turn is Turn.UPDATED else {})}
    for type_, body in KUBERNETES.items():
        kind = type_.rpartition(":")[2]
        metadata: dict[str, Any] = {"name": f"{namespace}{anew}-extra", "annotations": notes}
        if kind != "Namespace":
            metadata |= {"name": f"zoo{anew}", "namespace": namespace}
        _object(provider, kind.lower(), type_, {"metadata": metadata, **body}, home)
    _outside(namespace, cell, turn, home)
    pulumi.export("namespace", namespace)


def _object(
    provider: pulumi.ProviderResource, name: str, type_: str, body: Mapping[str, Any], home: Any = None
) -> pulumi.CustomResource:
    version, _, kind = type_.removeprefix("kubernetes:").partition(":")
    options = pulumi.ResourceOptions(provider=provider, depends_on=[home] if home is not None else None)
    return pulumi.CustomResource(
        type_, name, {"apiVersion": version.removeprefix("core/"), "kind": kind, **body}, options
    )


def _outside(namespace: str, cell: Cell, turn: Turn, home: pulumi.Resource) -> None:
    """What is not in Kubernetes: keys, accounts, schema, users."""
    new = turn is Turn.UPDATED
    # By this prefix Tenantry's own accounts know what they may manage.
    who = f"t-{namespace}{'x' if turn is Turn.REPLACED else ''}"
    schema = who.replace("-", "_")
    database, cache, messaging = cell.spec.database, cell.spec.cache, cell.spec.messaging
    kv = f"tenants/{who}"
    after = pulumi.ResourceOptions(depends_on=[home])
    TransitKey("key", key_name=who, mount="transit", opts=after)
    generate = {"one": 16, "two": 16} if new else {"one": 16}
    KvSecrets("secrets", mount="kv", path=f"{kv}/app", generate=generate, opts=after)
    hosts = ["smtp.example.org:587"] if new else []
    EgressEntry("egress", namespace=who, hosts=hosts, kv_mount="kv", kv_path=f"{kv}/egress", opts=after)
    made = Schema("schema", host=_address(database.host, new), port=database.port, schema=schema, opts=after)
    account = Account(
        "account",
        host=database.host,
        port=database.port,
        username=schema,
        schema=schema,
        max_connections=8 if new else 9,
        opts=pulumi.ResourceOptions(depends_on=[made]),
    )
    DatabaseStaticRole(
        "role",
        mount="database",
        role=who,
        connection="shared",
        username=schema,
        rotation_days=29 if new else 30,
        opts=pulumi.ResourceOptions(depends_on=[account]),
    )
    OwnServer(
        "server",
        kv_mount="kv",
        path=f"{kv}/server",
        hosts=[f"new.{who}.svc" if new else f"database.{who}.svc"],
        database_mount="database",
        connection="",
        address="",
        roles=[],
        opts=after,
    )
    CacheUser(
        "cache",
        host=_address(cache.host, new),
        port=cache.port,
        username=who,
        prefix=f"{who}:",
        kv_mount="kv",
        kv_path=kv,
        opts=after,
    )
    url = messaging.management_url
    vhost = Vhost("vhost", management_url=url, vhost=who, max_queues=9, max_connections=8 if new else 9, opts=after)
    User(
        "user",
        management_url=_address(url, new),
        username=who,
        vhost=who,
        kv_mount="kv",
        kv_path=kv,
        opts=pulumi.ResourceOptions(depends_on=[vhost]),
    )


def _address(address: str, new: bool) -> str:
    """The same server under another name of this machine, which its certificate has too."""
    return address.replace("127.0.0.1", "localhost") if new else address
