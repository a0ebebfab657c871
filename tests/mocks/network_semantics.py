"""What Kubernetes makes of a set of NetworkPolicies: may this pod open a connection to that one? For tests."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["End", "allowed"]


@dataclass(frozen=True, kw_only=True)
class End:
    """A pod (namespace and labels), or an address outside the cluster."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


def allowed(policies: Sequence[Mapping[str, Any]], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Both ends must agree: the source's egress and the target's ingress. An end that no policy selects is open."""
    return _agrees(policies, "Egress", source, target, port, protocol) and _agrees(
        policies, "Ingress", target, source, port, protocol
    )


def _agrees(
    policies: Sequence[Mapping[str, Any]], direction: str, pod: End, other: End, port: int, protocol: str
) -> bool:
    selecting = [
        policy
        for policy in policies
        if direction in policy["spec"]["policyTypes"]
        and policy["metadata"]["namespace"] == pod.namespace
        and _selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not selecting:
        return True
    key, peers = direction.lower(), "to" if direction == "Egress" else "from"
    return any(
        any(_matches(peer, other, policy["metadata"]["namespace"]) for peer in rule[peers])
        and any(entry["port"] == port and entry["protocol"] == protocol for entry in rule["ports"])
        for policy in selecting
        for rule in policy["spec"].get(key, [])
    )


def _matches(peer: Mapping[str, Any], end: End, namespace: str) -> bool:
    if "ipBlock" in peer:
        return bool(end.address) and ipaddress.ip_address(end.address) in ipaddress.ip_network(peer["ipBlock"]["cidr"])
    if end.address:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace}):
            return False
    elif end.namespace != namespace:
        return False
    return _selects(peer.get("podSelector", {}), end.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise AssertionError(f"an operator that this evaluator does not know: {expression['operator']}")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
