"""Who may talk to whom: everything is denied first, and what is opened names its peers and ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import Resource, Stack, items, mapping, named

__all__ = ["RULES"]

_INNER = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")))


@stack_rule()
def namespace_without_default_deny(stack: Stack) -> Findings:
    """Every namespace has a NetworkPolicy that denies all its pods everything, in both directions.

    Kubernetes allows every connection of a pod that no policy selects. One policy that selects all pods and opens
    nothing makes each further policy the only way through.
    """
    denied: dict[str, set[str]] = {}
    for policy in stack.of("NetworkPolicy"):
        if not _selects_all(policy.spec):
            continue
        kinds = set(items(policy.spec.get("policyTypes")))
        for kind, field in (("Ingress", "ingress"), ("Egress", "egress")):
            if kind in kinds and not items(policy.spec.get(field)):
                denied.setdefault(policy.namespace, set()).add(kind)
    for name, namespace in stack.namespaces.items():
        missing = sorted({"Ingress", "Egress"} - denied.get(name, set()))
        if missing:
            yield (
                namespace,
                (
                    f"nothing denies {' and '.join(missing).lower()} in namespace {name} by default; add a "
                    f"NetworkPolicy with an empty podSelector, policyTypes [Ingress, Egress] and no rule"
                ),
            )


@resource_rule("NetworkPolicy")
def network_policy_too_wide(policy: Resource) -> Sentences:
    """A NetworkPolicy names who it lets through and at which ports, and never the whole cluster or the world.

    A rule without peers or without ports, or with an empty namespaceSelector, undoes the default deny. The world is
    reached through the cell's egress proxy alone, which itself must not reach what lies inside.
    """
    for field, side in (("ingress", "from"), ("egress", "to")):
        for rule in (mapping(one) for one in items(policy.spec.get(field))):
            peers = [mapping(one) for one in items(rule.get(side))]
            if not peers:
                yield f"an {field} rule lets everybody through; name the peers in `{side}`"
            if not items(rule.get("ports")):
                yield f"an {field} rule opens every port; name the ports"
            for peer in peers:
                yield from _too_wide(peer, field, cells=policy.is_cells)


def _too_wide(peer: Mapping[str, Any], field: str, *, cells: bool) -> Iterator[str]:
    if not peer:
        yield f"an {field} rule has an empty peer, which is everybody; give it a podSelector or a range"
    elif named(peer, "namespaceSelector") and _is_empty_selector(peer["namespaceSelector"]):
        yield f"an {field} rule lets every namespace through; give its namespaceSelector a label"
    block = mapping(peer.get("ipBlock"))
    if not block:
        return
    cidr = str(block.get("cidr") or "")
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        yield f"an {field} rule names the range {cidr!r}, which is none; write it like 10.1.2.3/32"
        return
    if network.prefixlen > 0:
        return
    if not cells:
        yield f"an {field} rule opens the whole world ({cidr}); go through the cell's egress proxy"
    elif field == "ingress":
        yield f"an ingress rule lets the whole world in ({cidr}); name the range of the ingress controller"
    elif network.version == 4:
        excepted = [ipaddress.IPv4Network(str(one), strict=False) for one in items(block.get("except"))]
        open_ranges = [str(inner) for inner in _INNER if not any(inner.subnet_of(one) for one in excepted)]
        if open_ranges:
            yield f"an egress rule to the world ({cidr}) reaches inner addresses; except {', '.join(open_ranges)}"


def _selects_all(spec: Mapping[str, Any]) -> bool:
    return named(spec, "podSelector") and _is_empty_selector(spec["podSelector"])


def _is_empty_selector(selector: Any) -> bool:
    """Whether a label selector picks everything."""
    return not mapping(selector).get("matchLabels") and not mapping(selector).get("matchExpressions")


RULES: tuple[Rule, ...] = (namespace_without_default_deny, network_policy_too_wide)
